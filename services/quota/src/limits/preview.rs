//! What a plan would mean for a tenant, before anybody decides.
use onekeel_api::Fault;
use onekeel_api::quota::{LimitChange, PreviewPlanChangeResponse, Resource};
use onekeel_store::{DbResult, TenantTx};

use crate::catalogue::{UNLIMITED, finite, newest};

/// Compares the tenant's limits with those that the newest version of `plan` would bring; overrides stay in force.
pub(super) async fn preview(tx: &mut TenantTx, plan: &str) -> Result<PreviewPlanChangeResponse, Fault> {
    let plan = newest(tx, plan).await?;
    let client = tx.client_id();
    let rows = sqlx::query!(
        r#"select u.resource as "resource!", u.cap as "cap!", a.plan_id, a.plan_version,
            case when o.id is null then coalesce(l.max_units, $4) else coalesce(o.max_units, $4) end as "new_cap!",
            u.used as "used!",
            coalesce(q.max_units, now_plan.requests_per_minute) as "requests!",
            coalesce(q.max_units, new_plan.requests_per_minute) as "new_requests!"
        from quota.read_accounts($1) u
        join quota.assignments a on a.client_id = $1 and a.state = 'active'
        join quota.plans now_plan on now_plan.id = a.plan_id and now_plan.version = a.plan_version
        join quota.plans new_plan on new_plan.id = $2 and new_plan.version = $3
        join quota.plan_limits l on l.plan_id = $2 and l.plan_version = $3 and l.resource = u.resource
        left join lateral (
            select id, max_units from quota.overrides
            where client_id = $1 and resource = u.resource and (expires_at is null or expires_at > clock_timestamp())
            order by created_at desc, id desc limit 1
        ) o on true
        left join lateral (
            select max_units from quota.overrides
            where client_id = $1 and resource = 'requests_per_minute'
                and (expires_at is null or expires_at > clock_timestamp())
            order by created_at desc, id desc limit 1
        ) q on true
        order by u.resource"#,
        client,
        plan.id,
        plan.version,
        UNLIMITED
    );
    let rows = rows.fetch_all(tx.conn()).await.db()?;
    let first = rows.first().ok_or_else(Fault::not_found)?;
    let changes = rows.iter().map(|row| LimitChange {
        resource: Resource::from_name(&row.resource).unwrap_or_default().into(),
        limit: finite(row.cap),
        new_limit: finite(row.new_cap),
        used: row.used,
        excess: (row.used - row.new_cap).max(0),
    });
    let changes: Vec<_> = changes.collect();
    Ok(PreviewPlanChangeResponse {
        current_plan: first.plan_id.clone(),
        current_version: first.plan_version,
        version: plan.version,
        requests_per_minute: first.requests,
        new_requests_per_minute: first.new_requests,
        fits: changes.iter().all(|change| change.excess == 0),
        changes,
    })
}
