//! Callers that go away in the middle.
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use onekeel_tests::{World, lead_named};

const STEP: Duration = Duration::from_micros(30);
const STEPS: u32 = 51;
const ROUNDS: u32 = 12;
/// A fast machine answers before many of the drops, and then it takes more rounds.
const ENOUGH: u32 = 500;
const MOST_ROUNDS: u32 = 120;

/// Drops CreateLead at 0 to 1,500 µs, again and again, and then counts what is there.
pub async fn calls_dropped_at_every_moment_leave_nothing_behind(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let other = world.member("enterprise").await?;
    // What is dropped here are transactions; the request limit has tests of its own.
    world.limit(member.id, "requests_per_minute", 1_000_000).await?;
    member.create(lead_named("first")).await?;
    let (mut dropped, mut acknowledged) = (0, 1);
    for round in 0..MOST_ROUNDS {
        if round >= ROUNDS && dropped >= ENOUGH {
            break;
        }
        for step in 0..STEPS {
            let call = member.create(lead_named(&format!("lead-{round}-{step}")));
            match tokio::time::timeout(STEP * step, call).await {
                Ok(answer) => {
                    answer?;
                    acknowledged += 1;
                }
                Err(_) => dropped += 1,
            }
        }
    }
    ensure!(dropped >= ENOUGH, "only {dropped} calls were dropped");
    ensure!(other.count().await? == 0, "another tenant sees what was dropped");
    // Leases of dropped calls are not spent again; they end by themselves, and what committed is counted.
    let used = world.settle(member.id).await?;
    let rows = world.rows(member.id).await?;
    ensure!(rows == used, "{rows} rows and {used} used");
    ensure!(
        rows >= acknowledged,
        "{rows} rows, and {acknowledged} were acknowledged"
    );
    let charges: i64 = sqlx::query_scalar("select count(*) from quota.charges where client_id = $1")
        .bind(member.id.uuid())
        .fetch_one(&world.behind)
        .await?;
    ensure!(charges == 0, "{charges} charges were left without a lease");
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'
            and state_change < now() - interval '2 seconds'",
    )
    .fetch_one(&world.behind)
    .await?;
    ensure!(open == 0, "{open} transactions were left open");
    println!("{dropped} calls dropped, {acknowledged} acknowledged, {rows} rows, {used} used");
    Ok(())
}
