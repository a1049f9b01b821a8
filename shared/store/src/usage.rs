//! What a tenant used, added to its rows by day.
use onekeel_api::Fault;
use onekeel_api::meter::Used;
use onekeel_tenancy::Tenant;

use crate::{DbResult, Store, TenantTx};

/// What was used in one day.
#[derive(Clone, Copy, Debug)]
pub struct UsedInDay {
    /// Days since 1970 (UTC).
    pub day: i32,
    /// How much.
    pub used: Used,
}

impl Store {
    /// Adds what `service` counted for a tenant, all days or none; `false` when there is no such tenant (any more).
    pub async fn add_usage(&self, tenant: &Tenant, service: &str, days: &[UsedInDay]) -> Result<bool, Fault> {
        let add = async |tx: &mut TenantTx| {
            let mut there = true;
            for day in days {
                there &= add_day(tx, service, *day).await?;
            }
            Ok(there)
        };
        self.run(tenant, "add_usage", add).await
    }
}

/// The join finds no row for a tenant that was purged meanwhile.
async fn add_day(tx: &mut TenantTx, service: &str, UsedInDay { day, used }: UsedInDay) -> Result<bool, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let added = sqlx::query!(
        "insert into quota.usage_days as u
            (client_id, day, service, requests, errors, rows, bytes, database_micros, updated_by)
        select c.client_id, date '1970-01-01' + $2::integer, $3, $4, $5, $6, $7, $8, $9
        from tenant.clients c where c.client_id = $1
        on conflict (client_id, day, service) do update set requests = u.requests + excluded.requests,
            errors = u.errors + excluded.errors, rows = u.rows + excluded.rows, bytes = u.bytes + excluded.bytes,
            database_micros = u.database_micros + excluded.database_micros, updated_by = excluded.updated_by",
        client,
        day,
        service,
        count(used.requests),
        count(used.errors),
        count(used.rows),
        count(used.bytes),
        count(used.database_micros),
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(added.rows_affected() > 0)
}
