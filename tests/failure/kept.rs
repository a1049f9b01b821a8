//! What servers know of tenants while TenantService is away: as much as any of them was told lately, and nothing that has
//! changed since.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::tenant::SuspendTenantRequest;
use onekeel_api::{ErrorReason, Fault};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, is};

const LONGEST: Duration = Duration::from_secs(10);

async fn suspend(world: &World, member: &Member) -> anyhow::Result<()> {
    let id = member.id.to_string();
    let suspend = world.as_platform(SuspendTenantRequest { id })?;
    world.tenants()?.suspend_tenant(suspend).await?;
    Ok(())
}

async fn is_refused_soon(member: &Member) -> anyhow::Result<()> {
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    loop {
        round.tick().await;
        match member.count().await {
            Err(status) if Fault::from_status(&status).reason() == ErrorReason::TenantSuspended => return Ok(()),
            Err(status) => return Err(status.into()),
            Ok(_) => ensure!(began.elapsed() < LONGEST, "a suspended tenant is served"),
        }
    }
}

/// Whether Redis holds the tenant's context: in the state of an entry, this bit tells a value from a bare version.
async fn is_kept(world: &mut World, member: &Member) -> anyhow::Result<bool> {
    let redis = world.backing.redis().context("a private Redis")?;
    let asked = format!("GETBIT onekeel:{{{}}}:tenant:context 3", member.id);
    Ok(redis.tell(&asked).await?.contains('1'))
}

async fn is_dropped_soon(world: &mut World, member: &Member) -> anyhow::Result<()> {
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    while is_kept(world, member).await? {
        ensure!(began.elapsed() < LONGEST, "what has changed is kept");
        round.tick().await;
    }
    Ok(())
}

pub async fn a_server_that_never_asked_knows_what_others_were_told(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default().with("lead", 2)).await?;
    let (ann, bob) = (world.member("basic").await?, world.member("enterprise").await?);
    let (carl, dora) = (world.member("basic").await?, world.member("basic").await?);
    // Of Carl's tenant no server was told anything.
    for member in [&ann, &bob, &dora] {
        member.count().await?;
    }
    ensure!(is_kept(&mut world, &dora).await?, "what TenantService told is not kept");
    // Nobody asks for Dora's tenant again after it has changed.
    suspend(&world, &dora).await?;
    suspend(&world, &bob).await?;
    is_refused_soon(&bob).await?;
    is_dropped_soon(&mut world, &dora).await?;
    world.stack.server("tenant", 0)?.process().kill().await?;

    let elsewhere = |member: &Member| Member::new(&world.stack, member.id, Role::Admin, 1);
    elsewhere(&ann)?.count().await.context("others were told of Ann")?;
    is(elsewhere(&bob)?.count().await, ErrorReason::TenantSuspended)?;
    is(elsewhere(&carl)?.count().await, ErrorReason::Unavailable)?;
    is(elsewhere(&dora)?.count().await, ErrorReason::Unavailable)?;

    world
        .backing
        .redis()
        .context("a private Redis")?
        .tell("FLUSHALL")
        .await?;
    ann.count().await.context("known to the process itself")?;
    world.stop().await
}
