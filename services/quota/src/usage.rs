//! What a tenant has and uses, in one statement.
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
            r#"select u.resource as "resource!", u.cap as "cap!", u.used as "used!", u.reserved as "reserved!",
                a.plan_id as "plan!", coalesce(o.max_units, p.requests_per_minute) as "requests_per_minute!",
                coalesce(o.failure_policy, f.policy) as "policy?"
            from quota.read_accounts($1) u
            join quota.assignments a on a.client_id = $1 and a.state = 'active'
            join quota.plans p on p.id = a.plan_id and p.version = a.plan_version
            left join quota.failure_policies f on f.plan_id = a.plan_id and f.plan_version = a.plan_version
                and f.resource = 'requests_per_minute'
            left join lateral (
                select max_units, failure_policy from quota.overrides
                where client_id = $1 and resource = 'requests_per_minute'
                    and (expires_at is null or expires_at > clock_timestamp())
                order by created_at desc, id desc limit 1
            ) o on true
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
