//! Leases far from the limits, granted in one statement: they are what a closer look would have given.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::ClientId;
use onekeel_api::quota::{Lease, ReserveItem, ReserveRequest, Resource};
use onekeel_tests::{World, lead_named};
use uuid::Uuid;

use crate::caps::{hold, limit, waiting};
use crate::holder::Holder;
use crate::together::{ids, reserve};

const MOST: i64 = 100;
const OVERRIDE: Duration = Duration::from_secs(60);

async fn ask(holder: &Holder, ttl: Duration) -> anyhow::Result<Lease> {
    let wish = ReserveRequest {
        items: vec![ReserveItem {
            resource: Resource::Leads.into(),
            min: 1,
            max: MOST,
        }],
        ttl: prost_types::Duration::try_from(ttl).ok(),
        request_id: String::new(),
    };
    holder.ask(wish).await?.pop().context("a lease")
}

/// Reserved units by the limits, and by the leases.
async fn reserved(world: &World, client: ClientId) -> anyhow::Result<(i64, i64)> {
    let both = "select (select sum(reserved)::bigint from quota.usage where client_id = $1),
        (select sum(amount)::bigint from quota.reservations where client_id = $1)";
    Ok(sqlx::query_as(both)
        .bind(client.uuid())
        .fetch_one(&world.behind)
        .await?)
}

pub async fn whether_far_or_near_nobody_gets_more_than_a_share(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let (mut room, mut amounts) = (1000, Vec::new());
    while room > 0 {
        let share = MOST.min((room / 4).max(1));
        let lease = ask(&holder, Duration::from_secs(30)).await?;
        amounts.push(lease.amount);
        ensure!(lease.amount == share, "with {room} left: {amounts:?}");
        room -= share;
    }
    ensure!(reserved(&world, member.id).await? == (1000, 1000), "{amounts:?}");
    Ok(())
}

pub async fn no_lease_outlives_its_limit(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let life = async || -> anyhow::Result<i64> {
        let lease = ask(&holder, 10 * OVERRIDE).await?;
        Ok(lease.ttl.context("a life")?.seconds)
    };
    ensure!(life().await? == 600, "as it was wished for");
    limit(&world, &member, 100_000, Some(OVERRIDE)).await??;
    let shorter = life().await?;
    ensure!(
        (1..60).contains(&shorter),
        "{shorter} s, and the limit ends before 60 s"
    );
    Ok(())
}

async fn set_used(world: &World, client: ClientId, used: i64) -> anyhow::Result<()> {
    sqlx::query("update quota.usage set used = $2 where client_id = $1 and resource = 'leads'")
        .bind(client.uuid())
        .bind(used)
        .execute(&world.behind)
        .await?;
    Ok(())
}

/// A threshold is told when a lease ends after it was passed, so none may live long that could pass it, nor one from before.
pub async fn a_lease_that_may_hide_a_threshold_is_brief(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let life = async || -> anyhow::Result<i64> {
        let lease = ask(&holder, 10 * OVERRIDE).await?;
        Ok(lease.ttl.context("a life")?.seconds)
    };
    limit(&world, &member, 10_000, None).await??;
    // While there is enough, one statement grants what is near; after that, a closer look.
    for used in [8_000, 9_500] {
        let lives = life().await?;
        ensure!(lives == 600, "{lives} s, far from a threshold");
        set_used(&world, member.id, used).await?;
        let lives = life().await?;
        ensure!(lives == 60, "{lives} s, and 80 % may be passed with {used} in use");
        let longest: f64 = sqlx::query_scalar(
            "select extract(epoch from max(expires_at) - clock_timestamp())::float8
            from quota.reservations where client_id = $1",
        )
        .bind(member.id.uuid())
        .fetch_one(&world.behind)
        .await?;
        ensure!(longest <= 60.0, "{longest} s are left of a lease from before");
        set_used(&world, member.id, 0).await?;
    }
    Ok(())
}

pub async fn a_statement_whose_connection_is_lost_is_decided_anew(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let held = hold(&world, &member).await?;
    let call = reserve(&holder, Uuid::new_v4());
    waiting(&world, &held, 1).await?;
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%quota.reserve_amply%'";
    let ended: i64 = sqlx::query_scalar(end).fetch_one(&world.behind).await?;
    ensure!(ended == 1, "{ended} statements waited");
    // Its transaction.
    waiting(&world, &held, 1).await?;
    held.commit().await?;
    ensure!(ids(&call.await??).len() == 2, "a lease for each item");
    ensure!(reserved(&world, member.id).await? == (2, 2), "granted once");
    Ok(())
}

/// Nobody asks for it: where less was granted than a server had asked for, it keeps what it does not use for 5 s.
pub async fn units_that_a_server_does_not_use_come_back(world: Arc<World>) -> anyhow::Result<()> {
    const LONGEST: Duration = Duration::from_secs(20);
    let member = world.member("basic").await?;
    world.limit(member.id, "leads", 20).await?;
    member.create(lead_named("ann")).await?;
    ensure!(world.settled(member.id).await?.1 > 1, "no lease is held");
    let come_back = async {
        let mut round = tokio::time::interval(Duration::from_millis(50));
        while world.settled(member.id).await? != (1, 0) {
            round.tick().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LONGEST, come_back).await.context("it is kept")?
}
