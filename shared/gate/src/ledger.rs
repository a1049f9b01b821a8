//! Charges and releases as rows: written in the transaction of the row that takes or gives back the units.
//!
//! For statements that may touch no row: they run first, and what they touched is charged or released here. An insert
//! that succeeds or raises writes its charge in its own statement instead.
use onekeel_api::Fault;
use onekeel_api::quota::Resource;
use onekeel_store::{DbResult, TenantTx};
use uuid::Uuid;

use crate::ChargeRow;

/// Charges units of a lease. Nothing is written for no units.
///
/// # Errors
/// A fenced `UNAVAILABLE` when the lease has ended or the units are spent; the transaction is lost then.
pub async fn write_charge(tx: &mut TenantTx, charge: ChargeRow) -> Result<(), Fault> {
    if charge.units == 0 {
        return Ok(());
    }
    let client = tx.client_id();
    sqlx::query!(
        "insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
        values ($1, $2, $3, $4, $5, $6)",
        client,
        charge.lease_id,
        charge.first_unit,
        charge.units,
        charge.resource.name(),
        charge.of
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}

/// Gives back units of rows that were deleted or became smaller. Nothing is written for no units.
pub async fn write_release(tx: &mut TenantTx, released: &[(Resource, i64)]) -> Result<(), Fault> {
    let released = || released.iter().filter(|(_, units)| *units > 0);
    if released().next().is_none() {
        return Ok(());
    }
    let ids: Vec<Uuid> = released().map(|_| Uuid::now_v7()).collect();
    let resources: Vec<String> = released().map(|(resource, _)| resource.name().to_owned()).collect();
    let units: Vec<i64> = released().map(|(_, units)| *units).collect();
    let client = tx.client_id();
    sqlx::query!(
        "insert into quota.releases (client_id, id, resource, units)
        select $1, r.id, r.resource, r.units
        from unnest($2::uuid[], $3::text[], $4::bigint[]) as r(id, resource, units)",
        client,
        &ids,
        &resources,
        &units
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}
