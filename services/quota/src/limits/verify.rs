//! The accounts held against the rows.
//!
//! One statement reads both, and so one snapshot: the owners' `count_units` are stable functions and count in the
//! snapshot of the statement that calls them. A row and its charge commit together, so that no moment shows one alone.
use onekeel_api::Fault;
use onekeel_api::quota::{ReconcileUsageResponse, Resource, UsageCheck};
use onekeel_store::{DbResult, Event, TenantTx};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::caps;

/// Each account beside what its owner counts.
pub(super) async fn check(tx: &mut TenantTx) -> Result<Vec<UsageCheck>, Fault> {
    let client = tx.client_id();
    let rows = sqlx::query!(
        r#"select u.resource as "resource!", coalesce(o.units, 0)::bigint as "counted!", u.used as "accounted!"
        from quota.read_accounts($1) u
        left join (
            select resource, sum(units) as units
            from (select * from lead.count_units($1) union all select * from campaign.count_units($1)) owned
            group by resource
        ) o on o.resource = u.resource
        order by u.resource"#,
        client
    );
    let rows = rows.fetch_all(tx.conn()).await.db()?;
    if rows.is_empty() {
        return Err(Fault::not_found());
    }
    let checks = rows.into_iter().map(|row| UsageCheck {
        resource: Resource::from_name(&row.resource).unwrap_or_default().into(),
        counted: row.counted,
        accounted: row.accounted,
        drift: row.counted - row.accounted,
    });
    Ok(checks.collect())
}

/// A drift is a fault of the suite: it is told to those who run it.
pub(super) fn note_drift(tenant: &Tenant, checks: &[UsageCheck]) {
    for check in checks.iter().filter(|check| check.drift != 0) {
        let resource = check.resource().name();
        metrics::counter!("onekeel_quota_drifts_total", "resource" => resource).increment(1);
        tracing::error!(tenant.id = %tenant.id(), resource, counted = check.counted, accounted = check.accounted,
            "the accounts differ from the rows");
    }
}

/// Adds each drift to its account as a difference, so that what commits meanwhile counts too, and writes down why.
pub(super) async fn reconcile(tx: &mut TenantTx, reason: &str) -> Result<Vec<UsageCheck>, Fault> {
    caps::lock(tx).await?;
    // A new statement, so that it sees what the lock waited for; settling and folding wait for this transaction.
    let mut off = check(tx).await?;
    off.retain(|check| check.drift != 0);
    let (client, name, now) = (tx.client_id(), tx.name(), caps::now(tx).await?);
    for check in &off {
        let resource = check.resource().name();
        sqlx::query!(
            "update quota.usage set used = used + $3, updated_by = $4 where client_id = $1 and resource = $2",
            client,
            resource,
            check.drift,
            name
        )
        .execute(tx.conn())
        .await
        .db()?;
        sqlx::query!(
            "insert into quota.reconciliations (client_id, id, resource, counted, accounted, reason, author, created_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8)",
            client,
            Uuid::now_v7(),
            resource,
            check.counted,
            check.accounted,
            reason,
            name,
            now
        )
        .execute(tx.conn())
        .await
        .db()?;
    }
    let corrected = ReconcileUsageResponse { corrected: off.clone() };
    tx.audit(Event::of("usage", client).after(&corrected));
    Ok(off)
}
