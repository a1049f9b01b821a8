//! What a tenant uses: settled units, charges that no settling has folded yet, and releases, in one statement.
use onekeel_api::Fault;
use onekeel_api::quota::{GetQuotaResponse, QuotaUsage, Resource};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Tenant;

use crate::catalogue::finite;
use crate::rate::policy;

/// The tenant's limits and use, exact to the last committed row.
pub(crate) async fn read(store: &Store, tenant: &Tenant) -> Result<GetQuotaResponse, Fault> {
    let read = async |tx: &mut TenantTx| {
        let client = tx.client_id();
        sqlx::query!(
            r#"select u.resource, u.cap,
                (u.used + coalesce(c.units, 0) - coalesce(r.units, 0))::bigint as "used!",
                (u.reserved - coalesce(c.units, 0))::bigint as "reserved!",
                a.plan_id as "plan!", coalesce(o.max_units, p.requests_per_minute) as "requests_per_minute!",
                coalesce(o.failure_policy, f.policy) as "policy?"
            from quota.usage u
            join quota.assignments a on a.client_id = u.client_id and a.state = 'active'
            join quota.plans p on p.id = a.plan_id and p.version = a.plan_version
            left join quota.failure_policies f on f.plan_id = a.plan_id and f.plan_version = a.plan_version
                and f.resource = 'requests_per_minute'
            left join (select resource, sum(units) as units from quota.charges where client_id = $1 group by resource) c
                on c.resource = u.resource
            left join (select resource, sum(units) as units from quota.releases where client_id = $1 group by resource) r
                on r.resource = u.resource
            left join lateral (
                select max_units, failure_policy from quota.overrides
                where client_id = $1 and resource = 'requests_per_minute'
                    and (expires_at is null or expires_at > clock_timestamp())
                order by created_at desc, id desc limit 1
            ) o on true
            where u.client_id = $1
            order by u.resource"#,
            client
        )
        .fetch_all(tx.conn())
        .await
        .db()
    };
    let rows = store.run(tenant, "get_quota", read).await?;
    let Some(first) = rows.first() else {
        return Err(Fault::unavailable("the tenant has no limits yet; try again"));
    };
    let (plan, requests_per_minute) = (first.plan.clone(), first.requests_per_minute);
    let requests_failure_policy = policy(first.policy.as_deref()).into();
    let usages = rows.into_iter().map(|row| QuotaUsage {
        resource: Resource::from_name(&row.resource).unwrap_or_default().into(),
        limit: finite(row.cap),
        used: row.used,
        reserved: row.reserved,
    });
    Ok(GetQuotaResponse {
        plan,
        usages: usages.collect(),
        requests_per_minute,
        requests_failure_policy,
    })
}
