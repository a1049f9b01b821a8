//! Limits are reached exactly, and give room again.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::lead::Lead;
use onekeel_api::quota::{FailurePolicy, GetQuotaRequest, ListPlansRequest, PlanLimit};
use onekeel_api::tenant::ListTenantsRequest;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, is, lead_named};
use tonic::metadata::MetadataMap;

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
    ensure!(retry > Duration::ZERO && retry <= Duration::from_secs(62), "{retry:?}");
    // A slice that nobody spent within its life of a second is lost, so a slow caller gets fewer than 100.
    ensure!(admitted >= 50, "only {admitted} of 100 requests were admitted");
    Ok(())
}

/// The numbers behind `name=` in the fields of an answer.
fn told(head: &MetadataMap, field: &str, name: &str) -> anyhow::Result<i64> {
    let value = head.get(field).with_context(|| format!("no {field}"))?.to_str()?;
    let rest = value.strip_prefix("\"requests\"").context("another limit")?;
    let parameter = |part: &str| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    let number = rest.split(';').find_map(parameter);
    number.with_context(|| format!("no {name} in {field}: {value}"))
}

pub async fn every_answer_tells_what_is_left_of_the_request_limit(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let list = || member.request(onekeel_api::lead::ListLeadsRequest::default());
    let first = member.leads().list_leads(list()).await?;
    let head = first.metadata();
    ensure!(
        (
            told(head, "ratelimit-policy", "q")?,
            told(head, "ratelimit-policy", "w")?
        ) == (100, 60),
        "{head:?}"
    );
    let (left, after) = (told(head, "ratelimit", "r")?, told(head, "ratelimit", "t")?);
    ensure!((90..100).contains(&left) && (1..=61).contains(&after), "{head:?}");
    let quota = member.quotas().get_quota(member.request(GetQuotaRequest {})).await?;
    told(quota.metadata(), "ratelimit", "r").context("QuotaService")?;

    let absent = member.get(&uuid::Uuid::now_v7().to_string()).await;
    let absent = absent.err().context("a lead that never was is there")?;
    ensure!(told(absent.metadata(), "ratelimit", "r")? < left, "nothing was spent");
    let viewer = Member::new(&world.stack, member.id, Role::Viewer, 0)?;
    let denied = viewer
        .create(lead_named("ann"))
        .await
        .err()
        .context("a viewer writes")?;
    is::<()>(Err(denied.clone()), ErrorReason::PermissionDenied)?;
    told(denied.metadata(), "ratelimit", "r").context("a call that is not permitted")?;

    let limited = loop {
        match member.get(&uuid::Uuid::now_v7().to_string()).await {
            Err(status) if status.code() == tonic::Code::ResourceExhausted => break status,
            _ => {}
        }
    };
    let retry = is::<()>(Err(limited.clone()), ErrorReason::RateLimited)?;
    let retry = retry.retry_delay().context("no time to retry")?;
    let retry = i64::try_from(retry.as_millis().div_ceil(1000))?;
    let said = (
        told(limited.metadata(), "ratelimit", "r")?,
        told(limited.metadata(), "ratelimit", "t")?,
    );
    ensure!(said == (0, retry), "{said:?} and a retry in {retry} s");
    let of_platform = world.tenants()?;
    let of_platform = { of_platform }
        .list_tenants(world.as_platform(ListTenantsRequest::default())?)
        .await?;
    ensure!(of_platform.metadata().get("ratelimit").is_none(), "a limit of nobody");
    Ok(())
}

pub async fn plans_and_quotas_show_the_failure_policy(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    let plans = member
        .quotas()
        .list_plans(member.request(ListPlansRequest {}))
        .await?
        .into_inner()
        .plans;
    let ours = ["basic", "professional", "enterprise"];
    for plan in plans.iter().filter(|plan| ours.contains(&plan.id.as_str())) {
        ensure!(plan.requests_failure_policy() == FailurePolicy::Bounded, "{plan:?}");
        let closed = |limit: &PlanLimit| limit.failure_policy() == FailurePolicy::Closed;
        ensure!(plan.limits.iter().all(closed), "{plan:?}");
    }
    let of_quota = async || {
        let quota = member
            .quotas()
            .get_quota(member.request(GetQuotaRequest {}))
            .await?
            .into_inner();
        anyhow::Ok((quota.requests_failure_policy(), quota.requests_per_minute))
    };
    ensure!(of_quota().await? == (FailurePolicy::Bounded, 500), "the plan's policy");
    world.limit_requests(member.id, 70, "open").await?;
    ensure!(
        of_quota().await? == (FailurePolicy::Open, 70),
        "the tenant's own policy"
    );
    let owned = sqlx::query("update quota.failure_policies set policy = 'open' where resource = 'leads'");
    let refused = owned
        .execute(&world.behind)
        .await
        .err()
        .context("leads may be created uncounted")?;
    ensure!(
        refused.to_string().contains("failure_policies_owned_check"),
        "{refused}"
    );
    Ok(())
}
