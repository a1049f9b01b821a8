//! How fast a tenant may call, and what happens while that cannot be counted: read from the database, and remembered for as
//! long as the database tells no change of it.
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use metrics::Counter;
use onekeel_api::quota::FailurePolicy;
use onekeel_api::{ClientId, Fault};
use onekeel_gate::{Moment, RENEWED};
use onekeel_store::{DbResult, Feed, Store, TenantTx};
use onekeel_tenancy::Tenant;

/// Name of the work that looks what has changed.
pub(crate) const TASK: &str = "quota.rates";
/// Between two looks at what has changed: a change of plan is effective within this time in the other replicas.
pub(crate) const ROUND: Duration = Duration::from_millis(500);
const REMEMBERED_TENANTS: usize = 20_000;

static HITS: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("onekeel_rate_cache_total", "outcome" => "hit"));
static MISSES: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("onekeel_rate_cache_total", "outcome" => "miss"));

/// A tenant's limit of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Requests a minute.
    pub limit: i64,
    /// What happens while they cannot be counted.
    pub policy: FailurePolicy,
    /// When it ends by itself, with an override that does.
    ends: Option<Instant>,
}

impl Rate {
    fn holds(&self) -> bool {
        self.ends.is_none_or(|ends| Instant::now() < ends)
    }
}

/// The rates of tenants that called of late.
pub(crate) struct Rates {
    store: Store,
    known: Moment<ClientId, Rate>,
}

impl Rates {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            known: Moment::new(REMEMBERED_TENANTS, RENEWED, &HITS, &MISSES),
        }
    }

    /// The tenant's rate.
    pub async fn of(&self, tenant: &Tenant) -> Result<Rate, Fault> {
        let read = || self.store.run(tenant, "read_request_limit", read);
        let rate = self.known.get(&tenant.id(), read()).await?;
        if rate.holds() {
            return Ok(rate);
        }
        self.forget(tenant);
        self.known.get(&tenant.id(), read()).await
    }

    /// The tenant's rate, where it need not be looked up.
    pub fn known(&self, tenant: &Tenant) -> Option<Rate> {
        self.known.known(&tenant.id(), Instant::now()).filter(Rate::holds)
    }

    /// The tenant's plan has changed; read anew.
    pub fn forget(&self, tenant: &Tenant) {
        self.known.forget(&tenant.id());
    }

    /// Looks once for all tenants what has changed.
    pub async fn hear(&self) -> Result<(), Fault> {
        let look = async |cursor| Ok(self.store.changes(Feed::Rates, cursor).await?.into());
        self.known.hear(look).await.map(|_changed| ())
    }
}

/// The policy of this short name; one that is missing or not known here is the strictest.
pub(crate) fn policy(name: Option<&str>) -> FailurePolicy {
    name.and_then(FailurePolicy::from_name).unwrap_or(FailurePolicy::Closed)
}

async fn read(tx: &mut TenantTx) -> Result<Rate, Fault> {
    let (client, asked) = (tx.client_id(), Instant::now());
    let row = sqlx::query!(
        r#"select coalesce(o.max_units, p.requests_per_minute) as "limit!",
            coalesce(o.failure_policy, f.policy) as "policy?",
            extract(epoch from o.expires_at - clock_timestamp())::float8 as "left?"
        from quota.assignments a
        join quota.plans p on p.id = a.plan_id and p.version = a.plan_version
        left join quota.failure_policies f on f.plan_id = a.plan_id and f.plan_version = a.plan_version
            and f.resource = 'requests_per_minute'
        left join lateral (
            select max_units, failure_policy, expires_at from quota.overrides
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
        // An end beyond what an Instant can hold is none.
        ends: row
            .left
            .and_then(|left| asked.checked_add(Duration::try_from_secs_f64(left.max(0.0)).ok()?)),
    })
}
