//! Thresholds, told as they are passed.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::quota::watch_quota_response::News;
use onekeel_api::quota::{Resource, WatchQuotaRequest, WatchQuotaResponse};
use onekeel_operator::stack::Plan;
use onekeel_tests::{Member, World, is, lead_named};
use tonic::Streaming;

const LONGEST: Duration = Duration::from_secs(20);

async fn watch(member: &Member) -> anyhow::Result<Streaming<WatchQuotaResponse>> {
    let request = member.request(WatchQuotaRequest {});
    Ok(member.quotas().watch_quota(request).await?.into_inner())
}

async fn next(stream: &mut Streaming<WatchQuotaResponse>) -> anyhow::Result<News> {
    let message = tokio::time::timeout(LONGEST, stream.message())
        .await
        .context("nothing is told")??;
    message.context("the stream ended")?.news.context("an empty message")
}

async fn event(stream: &mut Streaming<WatchQuotaResponse>) -> anyhow::Result<(Resource, i64, i32, i64)> {
    match next(stream).await? {
        News::Event(event) => Ok((event.resource(), event.number, event.threshold, event.limit)),
        News::Quota(quota) => bail!("{quota:?}"),
    }
}

pub async fn each_crossing_is_told_once(world: Arc<World>) -> anyhow::Result<()> {
    let (member, other) = (world.member("enterprise").await?, world.member("enterprise").await?);
    world.limit(member.id, "leads", 10).await?;
    world.limit(other.id, "leads", 1).await?;
    let (mut stream, mut second) = (watch(&member).await?, watch(&member).await?);
    for stream in [&mut stream, &mut second] {
        let News::Quota(quota) = next(stream).await? else {
            bail!("the first message tells how things stand");
        };
        ensure!(quota.usages.iter().any(|usage| usage.limit == Some(10)), "{quota:?}");
    }
    other.create(lead_named("other")).await?;
    let mut leads = Vec::new();
    for number in 0..8 {
        leads.push(member.create(lead_named(&format!("lead{number}"))).await?);
    }
    for stream in [&mut stream, &mut second] {
        ensure!(
            event(stream).await? == (Resource::Leads, 1, 80, 10),
            "80 per cent, of this tenant only"
        );
    }
    for number in 8..10 {
        member.create(lead_named(&format!("lead{number}"))).await?;
    }
    ensure!(event(&mut stream).await? == (Resource::Leads, 2, 100, 10), "full");
    // Below 80 per cent and above it again is another crossing.
    for lead in &leads[..3] {
        member.delete(&lead.id, "").await?;
    }
    world.settle(member.id).await?;
    member.create(lead_named("again")).await?;
    ensure!(
        event(&mut stream).await? == (Resource::Leads, 3, 80, 10),
        "passed again"
    );
    world.settle(member.id).await?;
    let rows: Vec<(i64, i16)> = sqlx::query_as(
        "select number, threshold from quota.threshold_events where client_id = $1 and resource = 'leads' order by number",
    )
    .bind(member.id.uuid())
    .fetch_all(&world.behind)
    .await?;
    ensure!(rows == [(1, 80), (2, 100), (3, 80)], "{rows:?}");
    Ok(())
}

/// Settled before the deletion that made room for it is folded, a row is above the threshold for a moment only on paper.
pub async fn what_a_deletion_made_room_for_passes_no_threshold(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    world.limit(member.id, "leads", 10).await?;
    let mut settled = world.behind.acquire().await?;
    sqlx::query("begin").execute(&mut *settled).await?;
    for step in [
        "update quota.usage set used = 7 where client_id = $1 and resource = 'leads'",
        "insert into quota.releases (client_id, id, resource, units) values ($1, gen_random_uuid(), 'leads', 1)",
        "update quota.usage set used = 8 where client_id = $1 and resource = 'leads'",
    ] {
        sqlx::query(step).bind(member.id.uuid()).execute(&mut *settled).await?;
    }
    sqlx::query("commit").execute(&mut *settled).await?;
    ensure!(world.settle(member.id).await? == 7, "the release is folded");
    let events = "select count(*) from quota.threshold_events where client_id = $1 and resource = 'leads'";
    let events: i64 = sqlx::query_scalar(events)
        .bind(member.id.uuid())
        .fetch_one(&mut *settled)
        .await?;
    ensure!(events == 0, "{events} crossings of 7 of 10");
    Ok(())
}

pub async fn a_server_that_ends_ends_its_watches(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::start(&Plan::default()).await?;
    let member = world.member("basic").await?;
    let mut stream = watch(&member).await?;
    next(&mut stream).await?;
    let well = tokio::time::timeout(LONGEST, world.stack.server("quota", 0)?.stop());
    ensure!(
        well.await.context("the server waits for its watch")??,
        "the server was cut off"
    );
    let ended = tokio::time::timeout(LONGEST, stream.message())
        .await
        .context("the watch goes on")?;
    is(ended, ErrorReason::Unavailable).context("told to watch again")?;
    world.stop().await
}
