//! How fast a tenant may call, and what happens while that cannot be counted: read from the database, remembered for a
//! moment.
use std::time::{Duration, Instant};

use onekeel_api::quota::FailurePolicy;
use onekeel_api::{ClientId, Fault};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;

/// A change of plan is effective within this time in the other replicas.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);
const REMEMBERED_TENANTS: usize = 10_000;

/// A tenant's limit of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Requests a minute.
    pub limit: i64,
    /// What happens while they cannot be counted.
    pub policy: FailurePolicy,
}

/// The rates of tenants that called of late.
pub(crate) struct Rates {
    store: Store,
    known: Cache<ClientId, (Rate, Instant)>,
}

impl Rates {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            known: Cache::new(REMEMBERED_TENANTS),
        }
    }

    /// The tenant's rate, at most [`REMEMBERED_FOR`] old.
    pub async fn of(&self, tenant: &Tenant) -> Result<Rate, Fault> {
        if let Some((rate, asked)) = self.known.get(&tenant.id())
            && asked.elapsed() < REMEMBERED_FOR
        {
            return Ok(rate);
        }
        let asked = Instant::now();
        let rate = self.store.run(tenant, "read_request_limit", read).await?;
        self.known.insert(tenant.id(), (rate, asked));
        Ok(rate)
    }

    /// The tenant's plan has changed; read anew.
    pub fn forget(&self, tenant: &Tenant) {
        self.known.remove(&tenant.id());
    }
}

/// The policy of this short name; one that is missing or not known here is the strictest.
pub(crate) fn policy(name: Option<&str>) -> FailurePolicy {
    name.and_then(FailurePolicy::from_name).unwrap_or(FailurePolicy::Closed)
}

async fn read(tx: &mut TenantTx) -> Result<Rate, Fault> {
    let client = tx.client_id();
    let row = sqlx::query!(
        r#"select coalesce(o.max_units, p.requests_per_minute) as "limit!",
            coalesce(o.failure_policy, f.policy) as "policy?"
        from quota.assignments a
        join quota.plans p on p.id = a.plan_id and p.version = a.plan_version
        left join quota.failure_policies f on f.plan_id = a.plan_id and f.plan_version = a.plan_version
            and f.resource = 'requests_per_minute'
        left join lateral (
            select max_units, failure_policy from quota.overrides
            where client_id = $1 and resource = 'requests_per_minute'
                and (expires_at is null or expires_at > clock_timestamp())
            order by created_at desc, id desc limit 1
        ) o on true
        where a.client_id = $1 and a.state = 'active'"#,
        client
    );
    let row = row.fetch_optional(tx.conn()).await.db()?;
    let row = row.ok_or_else(|| Fault::unavailable("the tenant has no limits yet; try again"))?;
    Ok(Rate {
        limit: row.limit,
        policy: policy(row.policy.as_deref()),
    })
}
