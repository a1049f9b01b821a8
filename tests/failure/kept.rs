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

async fn redis(world: &mut World, command: &str) -> anyhow::Result<String> {
    let redis = world.backing.redis().context("a private Redis")?;
    redis.tell(command).await
}

/// Asks Redis again and again, until its answer has a 1, or has none.
async fn until(world: &mut World, command: &str, yes: bool, or_else: &'static str) -> anyhow::Result<()> {
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    while redis(world, command).await?.contains('1') != yes {
        ensure!(began.elapsed() < LONGEST, "{or_else}");
        round.tick().await;
    }
    Ok(())
}

/// Where somebody says up to where changes are followed.
async fn followed(world: &World) -> anyhow::Result<String> {
    let database = sqlx::query_scalar("select current_database()");
    let database: String = database.fetch_one(&world.behind).await?;
    Ok(format!("onekeel:{database}:tenant:followed"))
}

/// Only then is anything kept.
async fn is_followed_soon(world: &mut World) -> anyhow::Result<()> {
    let asked = format!("EXISTS {}", followed(world).await?);
    until(world, &asked, true, "nobody follows the changes").await
}

/// Asks whether the tenant's context is kept: in the state of an entry, this bit tells a value from a bare version.
fn whether_kept(member: &Member) -> String {
    format!("GETBIT onekeel:{{{}}}:tenant:kept 3", member.id)
}

async fn is_kept(world: &mut World, member: &Member) -> anyhow::Result<bool> {
    Ok(redis(world, &whether_kept(member)).await?.contains('1'))
}

async fn is_dropped_soon(world: &mut World, member: &Member) -> anyhow::Result<()> {
    until(world, &whether_kept(member), false, "what has changed is kept").await
}

async fn start() -> anyhow::Result<World> {
    let mut world = World::on(Backing::start_private().await?, &Plan::default().with("lead", 2)).await?;
    is_followed_soon(&mut world).await?;
    Ok(world)
}

fn elsewhere(world: &World, member: &Member) -> anyhow::Result<Member> {
    Member::new(&world.stack, member.id, Role::Admin, 1)
}

pub async fn a_server_that_never_asked_knows_what_others_were_told(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = start().await?;
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

    let others = elsewhere(&world, &ann)?;
    others.count().await.context("others were told of Ann")?;
    is(elsewhere(&world, &bob)?.count().await, ErrorReason::TenantSuspended)?;
    is(elsewhere(&world, &carl)?.count().await, ErrorReason::Unavailable)?;
    is(elsewhere(&world, &dora)?.count().await, ErrorReason::Unavailable)?;

    redis(&mut world, "FLUSHALL").await?;
    ann.count().await.context("known to the process itself")?;
    world.stop().await
}

pub async fn what_nobody_told_is_dropped_by_whoever_follows_next(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = start().await?;
    let (ann, dora) = (world.member("basic").await?, world.member("basic").await?);
    for member in [&ann, &dora] {
        member.count().await?;
    }
    world.stack.server("tenant", 0)?.process().kill().await?;
    // As if it had ended between its COMMIT and its word.
    let suspend = sqlx::query("update tenant.clients set state = 'suspended' where client_id = $1");
    let suspended = suspend.bind(dora.id.uuid()).execute(&world.behind).await?;
    ensure!(suspended.rows_affected() == 1, "nobody was suspended");
    ensure!(is_kept(&mut world, &dora).await?, "somebody told");
    world.stack.server("tenant", 0)?.kill_and_restart().await?;
    is_dropped_soon(&mut world, &dora).await?;

    world.stack.server("tenant", 0)?.process().kill().await?;
    let others = elsewhere(&world, &ann)?;
    others.count().await.context("nothing of Ann's has changed")?;
    is(elsewhere(&world, &dora)?.count().await, ErrorReason::Unavailable)?;

    // As if changes had been lost: what is kept may be wrong.
    let lost = format!("DEL {}", followed(&world).await?);
    redis(&mut world, &lost).await?;
    is(elsewhere(&world, &ann)?.count().await, ErrorReason::Unavailable)?;
    world.stack.server("tenant", 0)?.kill_and_restart().await?;
    is_followed_soon(&mut world).await?;
    ensure!(is_kept(&mut world, &ann).await?, "it counts no more, but it is there");
    world.stack.server("tenant", 0)?.process().kill().await?;
    is(elsewhere(&world, &ann)?.count().await, ErrorReason::Unavailable)?;
    world.stop().await
}
