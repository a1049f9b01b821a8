//! Tenants come, pause and come back.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::tenant::{CreateTenantRequest, ReactivateTenantRequest, SuspendTenantRequest, TenantState};
use onekeel_tests::{World, fault_of, is, lead_named};
use uuid::Uuid;

fn wish(slug: &str) -> CreateTenantRequest {
    CreateTenantRequest {
        display_name: "Initech".to_owned(),
        slug: slug.to_owned(),
        plan: "basic".to_owned(),
        request_id: Uuid::new_v4().to_string(),
    }
}

pub async fn a_tenant_is_created_once_and_works_at_once(world: Arc<World>) -> anyhow::Result<()> {
    let mut tenants = world.tenants()?;
    let first = tenants
        .create_tenant(world.as_platform(wish("initech"))?)
        .await?
        .into_inner();
    ensure!(
        first.state() == TenantState::Active && first.plan == "basic",
        "{first:?}"
    );
    let mut again = wish("initech");
    is(
        tenants.create_tenant(world.as_platform(again.clone())?).await,
        ErrorReason::AlreadyExists,
    )?;
    again.slug = "initech-two".to_owned();
    let second = tenants
        .create_tenant(world.as_platform(again.clone())?)
        .await?
        .into_inner();
    let retried = tenants.create_tenant(world.as_platform(again)?).await?.into_inner();
    ensure!(
        second.id == retried.id && second.id != first.id,
        "a retry made another tenant"
    );

    let member = world.member("basic").await?;
    member.create(lead_named("ann")).await?;
    let own = member.tenant("").await?;
    ensure!(own.id == member.id.to_string(), "{own:?}");
    Ok(())
}

pub async fn a_bad_tenant_is_refused_with_every_field_named(world: Arc<World>) -> anyhow::Result<()> {
    let bad = CreateTenantRequest {
        slug: "Not A Slug".to_owned(),
        ..CreateTenantRequest::default()
    };
    let fault = is(
        world.tenants()?.create_tenant(world.as_platform(bad)?).await,
        ErrorReason::InvalidArgument,
    )?;
    let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    ensure!(fields == ["display_name", "slug", "plan"], "{fields:?}");
    Ok(())
}

pub async fn a_tenant_with_an_unknown_plan_leaves_nothing_behind(world: Arc<World>) -> anyhow::Result<()> {
    let mut bad = wish("half-done");
    bad.plan = "gold".to_owned();
    let fault = is(
        world.tenants()?.create_tenant(world.as_platform(bad.clone())?).await,
        ErrorReason::InvalidArgument,
    )?;
    let (field, description) = &fault.violations()[0];
    ensure!(
        field == "plan" && description.contains("basic, enterprise, professional"),
        "{description}"
    );
    bad.plan = "basic".to_owned();
    let tenant = world
        .tenants()?
        .create_tenant(world.as_platform(bad)?)
        .await?
        .into_inner();
    ensure!(tenant.slug == "half-done", "the slug was not free again");
    Ok(())
}

pub async fn a_suspended_tenant_is_refused_within_two_seconds_and_comes_back(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    member.create(lead_named("ann")).await?;
    let id = member.id.to_string();
    world
        .tenants()?
        .suspend_tenant(world.as_platform(SuspendTenantRequest { id: id.clone() })?)
        .await?;
    within_two_seconds(async || match fault_of(member.count().await) {
        Ok(fault) => fault.reason() == ErrorReason::TenantSuspended,
        Err(_) => false,
    })
    .await?;
    world
        .tenants()?
        .reactivate_tenant(world.as_platform(ReactivateTenantRequest { id })?)
        .await?;
    within_two_seconds(async || member.count().await.is_ok()).await
}

async fn within_two_seconds(holds: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut round = tokio::time::interval(Duration::from_millis(20));
    while !holds().await {
        ensure!(began.elapsed() < Duration::from_secs(2), "not effective after 2 s");
        round.tick().await;
    }
    Ok(())
}
