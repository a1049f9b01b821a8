//! What must be true when everything has come to rest.
use std::collections::HashMap;

use anyhow::ensure;
use onekeel_tests::World;
use sqlx::PgPool;
use uuid::Uuid;

use super::tenants::Subject;
use super::told::Told;

/// Fails unless every unit is accounted for, of every tenant and resource; returns how many rows live.
pub async fn are_settled(world: &World, subjects: &[Subject]) -> anyhow::Result<i64> {
    let mut rows = 0;
    for subject in subjects {
        rows += world.settle(subject.id).await?;
    }
    let wrong: Vec<(Uuid, String, i64, i64, i64)> = sqlx::query_as(
        "select * from (
            select u.client_id, resource, used, reserved,
                case resource when 'leads' then l.rows when 'storage_bytes' then l.bytes else 0 end as owned
            from quota.usage u, lateral (
                select count(*) as rows, coalesce(sum(stored_bytes), 0)::bigint as bytes
                from lead.leads l where l.client_id = u.client_id and l.deleted_at is null
            ) l
        ) as level where used <> owned or reserved <> 0",
    )
    .fetch_all(&world.behind)
    .await?;
    ensure!(
        wrong.is_empty(),
        "used and reserved are not what is owned (tenant, resource, used, reserved, owned): {wrong:?}"
    );
    let left: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from quota.charges), (select count(*) from quota.releases),
            (select count(*) from quota.reservations)",
    )
    .fetch_one(&world.behind)
    .await?;
    ensure!(left == (0, 0, 0), "charges, releases and leases are left: {left:?}");
    Ok(rows)
}

/// Fails unless every acknowledged call is true.
pub async fn keep_what_was_told(behind: &PgPool, told: &Told) -> anyhow::Result<()> {
    ensure!(told.twice.is_empty(), "ids were given out twice: {:?}", told.twice);
    let twice: Vec<Uuid> = sqlx::query_scalar("select id from lead.leads group by id having count(*) > 1")
        .fetch_all(behind)
        .await?;
    ensure!(twice.is_empty(), "ids are there twice: {twice:?}");
    let there: Vec<(Uuid, String)> = sqlx::query_as("select id, company from lead.leads where deleted_at is null")
        .fetch_all(behind)
        .await?;
    let there: HashMap<Uuid, String> = there.into_iter().collect();
    let lost: Vec<_> = told.alive.keys().filter(|id| !there.contains_key(id)).collect();
    ensure!(lost.is_empty(), "acknowledged creations are lost: {lost:?}");
    let back: Vec<_> = told.deleted.iter().filter(|id| there.contains_key(id)).collect();
    ensure!(back.is_empty(), "acknowledged deletions are undone: {back:?}");
    let old: Vec<_> = told
        .alive
        .iter()
        .filter(|(id, company)| company.is_some() && there.get(id) != company.as_ref())
        .collect();
    ensure!(old.is_empty(), "acknowledged changes are undone: {old:?}");
    Ok(())
}

/// Fails when anybody was the victim of a deadlock.
pub async fn knew_no_deadlock(world: &World) -> anyhow::Result<()> {
    let deadlocks: i64 =
        sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
            .fetch_one(&world.behind)
            .await?;
    ensure!(deadlocks == 0, "PostgreSQL broke {deadlocks} deadlocks");
    for server in world.stack.servers() {
        let log = std::fs::read_to_string(server.log())?;
        for word in ["40P01", "a lease was overspent", "panicked"] {
            ensure!(!log.contains(word), "{word:?} stands in {}", server.log().display());
        }
    }
    Ok(())
}

/// How often `line` stands in the logs of LeadService.
pub fn count_logged(world: &World, line: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for server in world.stack.servers().filter(|server| server.service() == "lead") {
        count += std::fs::read_to_string(server.log())?.matches(line).count();
    }
    Ok(count)
}
