//! What a tenant may own at present: computed from its plan and its overrides, never remembered elsewhere.
//!
//! Every function here expects the tenant's usage rows to be locked: a change that was not waited for would be
//! computed away.
use chrono::{DateTime, Utc};
use onekeel_api::Fault;
use onekeel_store::{DbResult, TenantTx};

use crate::catalogue::UNLIMITED;

/// Locks all usage rows of the tenant in the one order that everybody keeps.
pub(crate) async fn lock(tx: &mut TenantTx) -> Result<(), Fault> {
    let client = tx.client_id();
    sqlx::query!(
        "select resource from quota.usage where client_id = $1 order by resource for no key update",
        client
    )
    .fetch_all(tx.conn())
    .await
    .db()?;
    Ok(())
}

/// The database's clock, read after whatever was waited for.
pub(crate) async fn now(tx: &mut TenantTx) -> Result<DateTime<Utc>, Fault> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(tx.conn())
        .await
        .db()
}

/// Computes each cap anew. The newest living override of a resource replaces the plan's limit; a living pending plan
/// lowers it. `cap_until` is when the earliest of them ends.
pub(crate) async fn recompute(tx: &mut TenantTx) -> Result<(), Fault> {
    let (client, name, now) = (tx.client_id(), tx.name(), now(tx).await?);
    sqlx::query!(
        "update quota.usage u set cap = c.cap, cap_until = c.cap_until, updated_by = $2
        from (
            select r.resource,
                case when o.id is null then coalesce(l.cap, 0) else coalesce(o.max_units, $3) end as cap,
                least(o.expires_at, l.pending_until) as cap_until
            from quota.usage r
            left join (
                select p.resource, min(coalesce(p.max_units, $3)) as cap, min(a.expires_at) as pending_until
                from quota.assignments a
                join quota.plan_limits p on p.plan_id = a.plan_id and p.plan_version = a.plan_version
                where a.client_id = $1 and (a.state = 'active' or a.expires_at > $4)
                group by p.resource
            ) l on l.resource = r.resource
            left join lateral (
                select id, max_units, expires_at from quota.overrides
                where client_id = $1 and resource = r.resource and (expires_at is null or expires_at > $4)
                order by created_at desc, id desc limit 1
            ) o on true
            where r.client_id = $1
        ) c
        where u.client_id = $1 and u.resource = c.resource",
        client,
        name,
        UNLIMITED,
        now
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}
