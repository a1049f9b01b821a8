//! What the database says, read in one statement and so at one moment.
use anyhow::ensure;
use onekeel_api::ClientId;
use sqlx::PgPool;
use uuid::Uuid;

use super::model::Model;
use super::steps::RESOURCES;

/// One limit of the tenant.
#[derive(Debug, sqlx::FromRow)]
pub struct Level {
    resource: String,
    pub cap: i64,
    pub used: i64,
    pub reserved: i64,
    pub released: i64,
    pub leases: Vec<Uuid>,
    charged: Vec<i64>,
}

/// Every limit, in the order of [`RESOURCES`].
pub async fn read(behind: &PgPool, client: ClientId) -> anyhow::Result<Vec<Level>> {
    let names: Vec<String> = RESOURCES.map(|resource| resource.name().to_owned()).to_vec();
    let levels: Vec<Level> = sqlx::query_as(
        "select u.resource, u.cap, u.used, u.reserved,
            (select coalesce(sum(units), 0)::bigint from quota.releases g
                where g.client_id = $1 and g.resource = u.resource) as released,
            array(select id from quota.reservations r
                where r.client_id = $1 and r.resource = u.resource order by id) as leases,
            array(select (select coalesce(sum(units), 0)::bigint from quota.charges c
                    where c.client_id = $1 and c.reservation_id = r.id)
                from quota.reservations r where r.client_id = $1 and r.resource = u.resource order by id) as charged
        from quota.usage u where u.client_id = $1 and u.resource = any($2) order by u.resource",
    )
    .bind(client.uuid())
    .bind(&names)
    .fetch_all(behind)
    .await?;
    ensure!(levels.iter().map(|level| &level.resource).eq(&names), "{levels:?}");
    Ok(levels)
}

/// Fails when the database differs from the model. Leases that have ended without being asked to are told to the model
/// when `may_end` allows it.
pub fn compare(levels: &[Level], model: &mut Model, may_end: impl Fn(usize) -> bool) -> anyhow::Result<()> {
    for (place, level) in levels.iter().enumerate() {
        for lease in model.leases.iter_mut().filter(|lease| lease.resource == place) {
            let there = level.leases.contains(&lease.id);
            ensure!(lease.living || !there, "an ended lease came back: {lease:?}");
            if lease.living && !there {
                ensure!(lease.open == 0, "a lease in use was settled: {lease:?}");
                ensure!(may_end(place) || lease.expired, "nobody ended this lease: {lease:?}");
                lease.living = false;
            }
        }
        let living: Vec<_> = model.living().filter(|lease| lease.resource == place).collect();
        ensure!(living.len() == level.leases.len(), "an unknown lease: {level:?}");
        let amounts: i64 = living.iter().map(|lease| lease.amount).sum();
        ensure!(level.reserved == amounts, "leases hold {amounts}: {level:?}");
        ensure!(level.used + level.reserved >= 0, "{level:?}");
        for (id, charged) in level.leases.iter().zip(&level.charged) {
            let lease = living.iter().find(|lease| lease.id == *id);
            ensure!(
                lease.is_some_and(|lease| lease.committed == *charged && lease.committed <= lease.amount),
                "{charged} units are charged: {lease:?}"
            );
        }
        let charged: i64 = level.charged.iter().sum();
        ensure!(
            level.used + charged - level.released == model.rows[place],
            "{} rows: {level:?}",
            model.rows[place]
        );
    }
    Ok(())
}
