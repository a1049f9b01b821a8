//! Whether the proofs can see: in a stack of its own, all walls of one place are taken down, and its proof has to fail.
//!
//! A place has two walls in the database at least, the policy of its table and the tenant in each statement; with one of
//! them left, nothing would be seen, as it should be.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_tests::World;
use sqlx::raw_sql;

use crate::{methods, oracles, plan};

/// Takes a table's policy away, and the tenant out of what a function does with it. The servers looked at their walls
/// when they started.
const NO_WALL_FOR_WORKERS: &str = "alter table tenant.api_keys disable row level security;
    do $$ begin
        execute replace(pg_get_functiondef('tenant.prune_api_keys'::regproc), 'k.client_id = tenant', 'true');
    end $$";
const NO_WALL_FOR_STREAMS: &str = "alter table quota.threshold_events disable row level security;
    do $$ begin
        execute replace(pg_get_functiondef('quota.list_events'::regproc), 'e.client_id = tenant', 'true');
    end $$";
/// What is unique over all tenants lets each feel what others have.
const NO_WALL_FOR_REQUESTS: &str = "create unique index of_all on lead.leads (request_id)";
const NO_WALL_FOR_LISTS: &str = "drop index lead.of_all; alter table lead.leads disable row level security;
    do $$ begin
        execute replace(pg_get_functiondef('lead.list_leads'::regproc), 'l.client_id = tenant', 'true');
    end $$";

pub async fn every_proof_sees_when_its_walls_are_gone(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let world = Arc::new(World::start(&plan()).await?);
    let fall = async |walls: &'static str| raw_sql(walls).execute(&world.behind).await;

    fall(NO_WALL_FOR_WORKERS).await?;
    let seen = oracles::workers::work_for_one_tenant_leaves_another_alone(world.clone()).await;
    sees(seen, &["prune_api_keys", "changed rows of B"])?;

    fall(NO_WALL_FOR_STREAMS).await?;
    let seen = oracles::streams::a_watch_is_told_of_its_own_tenant(world.clone()).await;
    sees(seen, &["B is told of A"])?;

    fall(NO_WALL_FOR_REQUESTS).await?;
    let seen = methods::every_method_keeps_tenants_apart(world.clone()).await;
    sees(seen, &["CreateLead", "each with"])?;

    fall(NO_WALL_FOR_LISTS).await?;
    let seen = methods::every_method_keeps_tenants_apart(world.clone()).await;
    sees(seen, &["ListLeads", "B is told of A"])?;

    let world = Arc::into_inner(world).context("a proof goes on")?;
    world.stop().await
}

fn sees(proof: anyhow::Result<()>, words: &[&str]) -> anyhow::Result<()> {
    let seen = proof
        .err()
        .with_context(|| format!("walls are gone, and nobody says {words:?}"))?;
    let said = format!("{seen:#}");
    ensure!(words.iter().all(|word| said.contains(word)), "{words:?} and not {said}");
    Ok(())
}
