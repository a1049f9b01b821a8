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

/// Gives back the units of rows that were deleted. Nothing is written for no rows.
pub async fn write_release(tx: &mut TenantTx, resource: Resource, rows: u64) -> Result<(), Fault> {
    let units = i64::try_from(rows).map_err(Fault::internal)?;
    if units == 0 {
        return Ok(());
    }
    let client = tx.client_id();
    sqlx::query!(
        "insert into quota.releases (client_id, id, resource, units) values ($1, $2, $3, $4)",
        client,
        Uuid::now_v7(),
        resource.name(),
        units
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}
