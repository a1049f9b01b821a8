//! What operators do with limits.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::quota::{
    EndOverridesRequest, FailurePolicy, ListOverridesRequest, ListPlansRequest, Plan, PlanLimit,
    PreviewPlanChangeRequest, PublishPlanRequest, Resource, SetOverrideRequest,
};
use onekeel_api::tenant::ChangePlanRequest;
use onekeel_api::{ClientId, ErrorReason};
use onekeel_tests::{Member, World, is, lead_named};

fn at_most(id: ClientId, resource: &str, limit: i64) -> SetOverrideRequest {
    SetOverrideRequest {
        client_id: id.to_string(),
        resource: resource.to_owned(),
        limit: Some(limit),
        expire_time: None,
        reason: "a test".to_owned(),
        ..SetOverrideRequest::default()
    }
}

pub async fn an_override_counts_until_it_ends(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut limits = world.limits()?;
    let soon = std::time::SystemTime::now() + Duration::from_secs(8);
    let mut wish = at_most(member.id, "leads", 2);
    wish.expire_time = Some(soon.into());
    let set = limits.set_override(world.as_platform(wish)?).await?.into_inner();
    ensure!(
        set.limit == Some(2) && !set.author.is_empty() && set.reason == "a test",
        "{set:?}"
    );
    for name in ["ann", "bob"] {
        member.create(lead_named(name)).await?;
    }
    is(member.create(lead_named("cyd")).await, ErrorReason::QuotaExceeded)?;
    // It ends by itself: the first grant after its end finds the plan's limit.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut round = tokio::time::interval(Duration::from_millis(100));
    while member.create(lead_named("cyd")).await.is_err() {
        ensure!(tokio::time::Instant::now() < deadline, "the override did not end");
        round.tick().await;
    }
    ensure!(member.quota().await?.limit == Some(1000), "the plan's limit");

    limits
        .set_override(world.as_platform(at_most(member.id, "leads", 3))?)
        .await?;
    is(member.create(lead_named("dan")).await, ErrorReason::QuotaExceeded)?;
    let end = EndOverridesRequest {
        client_id: member.id.to_string(),
        resource: "leads".to_owned(),
    };
    let ended = limits
        .end_overrides(world.as_platform(end.clone())?)
        .await?
        .into_inner()
        .ended;
    let again = limits.end_overrides(world.as_platform(end)?).await?.into_inner().ended;
    ensure!((ended, again) == (1, 0), "{ended} and {again} ended");
    member.create(lead_named("dan")).await?;
    let list = ListOverridesRequest {
        client_id: member.id.to_string(),
    };
    let listed = limits
        .list_overrides(world.as_platform(list)?)
        .await?
        .into_inner()
        .overrides;
    let kept: Vec<_> = listed.iter().map(|one| one.limit).collect();
    ensure!(kept == [Some(3), Some(2)], "{listed:?}");
    Ok(())
}

pub async fn a_bad_override_is_refused_with_every_field_named(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut limits = world.limits()?;
    let bad = SetOverrideRequest {
        client_id: member.id.to_string(),
        resource: "cars".to_owned(),
        limit: Some(-1),
        ..SetOverrideRequest::default()
    };
    let fault = is(
        limits.set_override(world.as_platform(bad)?).await,
        ErrorReason::InvalidArgument,
    )?;
    let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    ensure!(fields == ["resource", "limit", "reason"], "{fields:?}");
    let nobody = at_most(ClientId::new_v7(), "leads", 1);
    is(
        limits.set_override(world.as_platform(nobody)?).await,
        ErrorReason::NotFound,
    )?;
    let own = member.request(at_most(member.id, "leads", 1_000_000));
    is(limits.set_override(own).await, ErrorReason::PermissionDenied)?;
    Ok(())
}

pub async fn a_lowered_limit_is_in_force_at_once_and_in_every_replica_within_two_seconds(
    world: Arc<World>,
) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let mut limits = world.limits()?;
    member.create(lead_named("ann")).await?;
    limits
        .set_override(world.as_platform(at_most(member.id, "leads", 1))?)
        .await?;
    // The lease of the first creation was large enough for the next one, and it was settled.
    is(member.create(lead_named("bob")).await, ErrorReason::QuotaExceeded)?;

    // A plan below what is in use, accepted as such, is obeyed as soon.
    let other = world.member("enterprise").await?;
    other
        .import((0..1000).map(|number| lead_named(&format!("lead{number}"))).collect())
        .await?;
    let wish = ChangePlanRequest {
        id: other.id.to_string(),
        plan: "basic".to_owned(),
        allow_overage: true,
    };
    other.create(lead_named("above")).await?;
    world.tenants()?.change_plan(world.as_platform(wish)?).await?;
    is(other.create(lead_named("more")).await, ErrorReason::QuotaExceeded)?;

    let set = at_most(member.id, "requests_per_minute", 1);
    limits.set_override(world.as_platform(set)?).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    while member.count().await.is_ok() {
        ensure!(tokio::time::Instant::now() < deadline, "still admitted after 2 s");
    }
    Ok(())
}

/// In how many seconds all that counts now is forgotten: a minute and the life of the last slice.
async fn forgotten_in(member: &Member) -> anyhow::Result<u64> {
    let answer = member.leads().count_leads(member.request(CountLeadsRequest {})).await?;
    let told = answer
        .metadata()
        .get("ratelimit")
        .context("a limit is known")?
        .to_str()?;
    let seconds = told.rsplit("t=").next().context("a time")?;
    Ok(seconds.parse()?)
}

pub async fn requests_that_were_granted_for_seconds_end_with_their_limit(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let mut limits = world.limits()?;
    let limit = |units| at_most(member.id, "requests_per_minute", units);
    limits.set_override(world.as_platform(limit(100_000))?).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut round = tokio::time::interval(Duration::from_millis(50));
    while forgotten_in(&member).await? <= 110 {
        ensure!(tokio::time::Instant::now() < deadline, "no slice lives for a minute");
        round.tick().await;
    }
    // A tenant that calls much is granted much; one that calls slowly then does not spend it.
    for _ in 0..200 {
        member.count().await?;
    }
    limits.set_override(world.as_platform(limit(1))?).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    while member.count().await.is_ok() {
        ensure!(tokio::time::Instant::now() < deadline, "still admitted after 2 s");
        round.tick().await;
    }
    Ok(())
}

pub async fn a_preview_tells_what_a_change_of_plan_would_mean(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    for name in ["ann", "bob", "cyd"] {
        member.create(lead_named(name)).await?;
    }
    world.limit(member.id, "agents", 9).await?;
    let mut limits = world.limits()?;
    let wish = PreviewPlanChangeRequest {
        client_id: String::new(),
        plan: "basic".to_owned(),
    };
    let told = limits
        .preview_plan_change(member.request(wish.clone()))
        .await?
        .into_inner();
    ensure!(told.fits && told.current_plan == "professional", "{told:?}");
    ensure!(
        (told.requests_per_minute, told.new_requests_per_minute) == (500, 100),
        "{told:?}"
    );
    let of = |resource: Resource| {
        let change = told.changes.iter().find(|change| change.resource() == resource);
        change.map(|change| (change.limit, change.new_limit, change.used, change.excess))
    };
    ensure!(
        of(Resource::Leads) == Some((Some(10_000), Some(1000), 3, 0)),
        "{told:?}"
    );
    ensure!(
        of(Resource::Agents) == Some((Some(9), Some(9), 0, 0)),
        "an override stays: {told:?}"
    );

    world.limit(member.id, "leads", 2).await?;
    let told = limits.preview_plan_change(member.request(wish)).await?.into_inner();
    let leads = told.changes.iter().find(|change| change.resource() == Resource::Leads);
    ensure!(!told.fits && leads.context("leads")?.excess == 1, "{told:?}");
    Ok(())
}

pub async fn a_published_plan_is_for_those_who_are_given_it_from_then_on(world: Arc<World>) -> anyhow::Result<()> {
    let mut limits = world.limits()?;
    let plan = |version: i32, leads: i64| PublishPlanRequest {
        plan: Some(Plan {
            id: "starter".to_owned(),
            version,
            display_name: "Starter".to_owned(),
            limits: Resource::ALL
                .map(|resource| PlanLimit {
                    failure_policy: FailurePolicy::Closed.into(),
                    resource: resource.into(),
                    max: Some(if resource == Resource::Leads { leads } else { 1_000_000 }),
                })
                .to_vec(),
            requests_per_minute: 1000,
            requests_failure_policy: FailurePolicy::Open.into(),
        }),
    };
    limits.publish_plan(world.as_platform(plan(1, 1))?).await?;
    let early = world.member("starter").await?;
    limits.publish_plan(world.as_platform(plan(2, 2))?).await?;
    let again = limits.publish_plan(world.as_platform(plan(2, 2))?).await?.into_inner();
    ensure!(again.version == 2, "a repetition: {again:?}");
    is(
        limits.publish_plan(world.as_platform(plan(2, 3))?).await,
        ErrorReason::Conflict,
    )?;
    is(
        limits.publish_plan(world.as_platform(plan(4, 3))?).await,
        ErrorReason::Conflict,
    )?;
    let late = world.member("starter").await?;
    ensure!(
        early.quota().await?.limit == Some(1),
        "a published version changed under its tenant"
    );
    ensure!(late.quota().await?.limit == Some(2), "a new tenant got an old version");
    world.change_plan(early.id, "starter").await??;
    ensure!(
        early.quota().await?.limit == Some(2),
        "given again, it is the newest version"
    );
    let plans = early
        .quotas()
        .list_plans(early.request(ListPlansRequest {}))
        .await?
        .into_inner()
        .plans;
    let starter = plans.iter().find(|plan| plan.id == "starter").context("starter")?;
    ensure!(
        starter.version == 2 && starter.requests_failure_policy() == FailurePolicy::Open,
        "{starter:?}"
    );
    Ok(())
}
