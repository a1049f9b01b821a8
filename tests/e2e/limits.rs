//! Limits are reached exactly, and give room again.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::lead::Lead;
use onekeel_tests::{World, is, lead_named};

fn leads(count: usize) -> Vec<Lead> {
    (0..count).map(|number| lead_named(&format!("lead{number}"))).collect()
}

pub async fn an_import_stops_exactly_at_the_limit_and_goes_on_after_an_upgrade(
    world: Arc<World>,
) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let answer = member.import(leads(1200)).await?;
    ensure!(
        (answer.created, answer.over_quota) == (1000, 200),
        "{} {}",
        answer.created,
        answer.over_quota
    );
    let fault = is(member.create(lead_named("one-more")).await, ErrorReason::QuotaExceeded)?;
    for (key, value) in [
        ("resource", "leads"),
        ("limit", "1000"),
        ("used", "1000"),
        ("plan", "basic"),
    ] {
        ensure!(
            fault.fact_value(key) == Some(value),
            "{key} is {:?}",
            fault.fact_value(key)
        );
    }
    world.change_plan(member.id, "professional").await??;
    let answer = member.import(leads(1200)).await?;
    ensure!(
        (answer.created, answer.duplicate) == (200, 1000),
        "{} {}",
        answer.created,
        answer.duplicate
    );
    ensure!(
        world.rows(member.id).await? == 1200 && world.settle(member.id).await? == 1200,
        "rows and units"
    );
    Ok(())
}

pub async fn a_deleted_lead_makes_room_for_another(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    world.limit(member.id, "leads", 3).await?;
    let answer = member.import(leads(4)).await?;
    ensure!((answer.created, answer.over_quota) == (3, 1), "{answer:?}");
    is(member.create(lead_named("ann")).await, ErrorReason::QuotaExceeded)?;
    member.delete(&answer.results[0].lead_id, "").await?;
    member.create(lead_named("ann")).await?;
    is(member.create(lead_named("bob")).await, ErrorReason::QuotaExceeded)?;
    ensure!(
        world.rows(member.id).await? == 3 && world.settle(member.id).await? == 3,
        "rows and units"
    );
    Ok(())
}

pub async fn a_plan_below_what_is_in_use_is_refused_with_each_excess(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    ensure!(member.import(leads(1001)).await?.created == 1001, "1,001 leads");
    let fault = is(
        world.change_plan(member.id, "basic").await?,
        ErrorReason::PlanBelowUsage,
    )?;
    ensure!(fault.fact_value("leads") == Some("1001 of 1000"), "{fault:?}");
    ensure!(member.tenant("").await?.plan == "professional", "the plan changed");
    ensure!(member.quota().await?.limit == Some(10_000), "the cap stayed low");
    let first = member.list(onekeel_api::lead::ListLeadsRequest::default()).await?.leads;
    member.delete(&first[0].id, "").await?;
    world.change_plan(member.id, "basic").await??;
    ensure!(member.quota().await?.limit == Some(1000), "the cap stayed high");
    is(member.create(lead_named("ann")).await, ErrorReason::QuotaExceeded)?;
    Ok(())
}

pub async fn the_request_limit_refuses_with_a_time_to_retry(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut admitted = 0;
    let fault = loop {
        match member.get(&uuid::Uuid::now_v7().to_string()).await {
            Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                break is::<()>(Err(status), ErrorReason::RateLimited)?;
            }
            _ => admitted += 1,
        }
        ensure!(admitted <= 100, "more than the plan's 100 requests were admitted");
    };
    let retry = fault.retry_delay().context("no time to retry")?;
    ensure!(retry > Duration::ZERO && retry <= Duration::from_secs(61), "{retry:?}");
    // A slice that nobody spent within its life of a second is lost, so a slow caller gets fewer than 100.
    ensure!(admitted >= 50, "only {admitted} of 100 requests were admitted");
    Ok(())
}
