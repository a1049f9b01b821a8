//! Parts that are away for a while.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::{ErrorReason, Fault};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tests::{Member, World, is, lead_named};

const LONGEST_RETURN: Duration = Duration::from_secs(30);

/// Reads until the limit refuses; returns how many calls were admitted.
async fn admitted_until_refused(member: &Member) -> anyhow::Result<usize> {
    for admitted in 0..=1000 {
        let Err(status) = member.get(&uuid::Uuid::now_v7().to_string()).await else {
            anyhow::bail!("a lead that never was is there");
        };
        match Fault::from_status(&status).reason() {
            ErrorReason::NotFound => {}
            ErrorReason::RateLimited => return Ok(admitted),
            _ => return Err(status).context("while a part was away"),
        }
    }
    anyhow::bail!("1,000 calls were admitted")
}

pub async fn without_redis_a_known_tenant_goes_on_within_its_share(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default()).await?;
    let member = world.member("basic").await?;
    let lead = member.create(lead_named("ann")).await?;
    world.backing.redis().context("a private Redis")?.kill().await?;
    let admitted = admitted_until_refused(&member).await?;
    // The share of one replica is the whole limit of 100; a slice may have been left from before.
    ensure!(
        (80..=120).contains(&admitted),
        "{admitted} calls were admitted without Redis"
    );
    let stranger = world.member("basic").await?;
    is(stranger.count().await, ErrorReason::Unavailable).context("a tenant whose limit nobody knows")?;

    world.backing.redis().context("a private Redis")?.restart().await?;
    // The authority is told what was spent without it, so only a higher limit, which it alone knows, has room again.
    world.limit(member.id, "requests_per_minute", 300).await?;
    let deadline = tokio::time::Instant::now() + LONGEST_RETURN;
    let mut round = tokio::time::interval(Duration::from_millis(100));
    while member.get(&lead.id).await.is_err() {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "the limit is not counted again after {LONGEST_RETURN:?}"
        );
        round.tick().await;
    }
    world.stop().await
}

pub async fn without_the_authority_reads_go_on_and_creations_are_refused(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::start(&Plan::default()).await?;
    let member = world.member("enterprise").await?;
    let lead = member.create(lead_named("ann")).await?;
    // An open lease may still be spent; once it is given back, nothing may grow.
    world.settle(member.id).await?;
    world.stack.server("quota", 0)?.process().kill().await?;
    let fault = is(member.create(lead_named("bob")).await, ErrorReason::Unavailable)?;
    ensure!(fault.retry_delay().is_some(), "no time to retry: {fault:?}");
    ensure!(member.get(&lead.id).await? == lead, "reading goes on");
    member.delete(&lead.id, "").await.context("deleting goes on")?;
    world.stack.server("quota", 0)?.kill_and_restart().await?;
    let deadline = tokio::time::Instant::now() + LONGEST_RETURN;
    let mut round = tokio::time::interval(Duration::from_millis(100));
    while let Err(status) = member.create(lead_named("bob")).await {
        ensure!(tokio::time::Instant::now() < deadline, "still refused: {status:?}");
        round.tick().await;
    }
    ensure!(
        world.rows(member.id).await? == 1 && world.settle(member.id).await? == 1,
        "one row, one unit"
    );
    world.stop().await
}
