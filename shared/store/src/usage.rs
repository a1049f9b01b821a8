//! What tenants used, added to their rows by day.
use onekeel_api::meter::Used;
use onekeel_api::{ClientId, Fault};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::{DbResult, Store, TenantTx};

/// What was used in one day.
#[derive(Clone, Copy, Debug)]
pub struct UsedInDay {
    /// Days since 1970 (UTC).
    pub day: i32,
    /// How much.
    pub used: Used,
}

/// What one tenant used: in a day, or in two around midnight.
#[derive(Clone, Debug)]
pub struct Due {
    /// Whose it is.
    pub tenant: Tenant,
    /// By day.
    pub days: Vec<UsedInDay>,
}

impl Due {
    /// Requests of all days.
    pub fn requests(&self) -> u64 {
        self.days.iter().map(|day| day.used.requests).sum()
    }
}

impl Store {
    /// Adds what `service` counted for these tenants, all of it or nothing, in one transaction; returns those that are not
    /// there (any more).
    pub async fn add_usage(&self, service: &str, due: &[Due]) -> Result<Vec<ClientId>, Fault> {
        let mut due: Vec<&Due> = due.iter().collect();
        // In one order, so that two servers never wait for one another.
        due.sort_by_key(|due| due.tenant.id());
        let Some(first) = due.first() else {
            return Ok(Vec::new());
        };
        let add = async |tx: &mut TenantTx| add(tx, service, &due).await;
        self.run(&first.tenant, "add_usage", add).await
    }
}

async fn add(tx: &mut TenantTx, service: &str, due: &[&Due]) -> Result<Vec<ClientId>, Fault> {
    let days = || {
        due.iter()
            .flat_map(|due| due.days.iter().map(|day| (due.tenant.id(), *day)))
    };
    let counts = |count: fn(&Used) -> u64| -> Vec<i64> {
        days()
            .map(|(_, day)| i64::try_from(count(&day.used)).unwrap_or(i64::MAX))
            .collect()
    };
    let tenants: Vec<Uuid> = days().map(|(client, _)| client.uuid()).collect();
    let numbers: Vec<i32> = days().map(|(_, day)| day.day).collect();
    let name = tx.name();
    let missing = sqlx::query_scalar!(
        r#"select quota.add_usage($1, $2, $3, $4, $5, $6, $7, $8, $9) as "missing!""#,
        &tenants,
        &numbers,
        service,
        &counts(|used| used.requests),
        &counts(|used| used.errors),
        &counts(|used| used.rows),
        &counts(|used| used.bytes),
        &counts(|used| used.database_micros),
        name
    )
    .fetch_one(tx.conn())
    .await
    .db()?;
    Ok(missing.into_iter().map(ClientId::from).collect())
}
