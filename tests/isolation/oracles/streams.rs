//! Streams: what is told while a call stays open is the caller's own.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use onekeel_api::quota::WatchQuotaRequest;
use onekeel_api::quota::watch_quota_response::News;
use onekeel_tests::{World, lead_named};

const LONGEST: Duration = Duration::from_secs(20);
/// By their limits the events of two tenants can be told apart.
const LIMITS: [i64; 2] = [1, 2];

/// A passes its thresholds before B does, so whatever a watch of B is told first would be of A.
pub async fn a_watch_is_told_of_its_own_tenant(world: Arc<World>) -> anyhow::Result<()> {
    let (a, b) = (world.member("enterprise").await?, world.member("enterprise").await?);
    for (tenant, limit) in [&a, &b].into_iter().zip(LIMITS) {
        world.limit(tenant.id, "leads", limit).await?;
    }
    let watch = b.quotas().watch_quota(b.request(WatchQuotaRequest {})).await?;
    let mut watch = watch.into_inner();
    let mut told = async || {
        let message = tokio::time::timeout(LONGEST, watch.message()).await;
        let message = message.context("nothing is told")??.context("the watch ended")?;
        message.news.context("an empty message")
    };
    let News::Quota(quota) = told().await? else {
        bail!("the first message tells how things stand");
    };
    ensure!(
        quota.usages.iter().all(|usage| usage.limit != Some(LIMITS[0])),
        "B is told A's limits: {quota:?}"
    );
    a.create(lead_named("first")).await?;
    // What is settled is passed.
    world.settle(a.id).await?;
    let events = "select count(*) from quota.threshold_events where client_id = $1";
    let events: i64 = sqlx::query_scalar(events)
        .bind(a.id.uuid())
        .fetch_one(&world.behind)
        .await?;
    ensure!(events > 0, "A has passed no threshold");
    for number in 0..LIMITS[1] {
        b.create(lead_named(&format!("lead{number}"))).await?;
    }
    let News::Event(event) = told().await? else {
        bail!("how things stand is told once");
    };
    ensure!(event.limit == LIMITS[1], "B is told of A: {event:?}");
    Ok(())
}
