//! Many writers, few units.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use onekeel_api::{ErrorReason, Fault};
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, lead_named};

const WRITERS: usize = 16;
const LONGEST_RACE: Duration = Duration::from_secs(120);
/// Rounds of the race; each has a tenant of its own.
const ROUNDS: usize = 20;

/// As [`write`], but not for ever.
async fn write_until_full(member: Member, writer: usize) -> anyhow::Result<i64> {
    tokio::time::timeout(LONGEST_RACE, write(member, writer))
        .await
        .context("the limit neither admits nor refuses")?
}

/// Creates leads until the limit refuses; returns how many were acknowledged.
async fn write(member: Member, writer: usize) -> anyhow::Result<i64> {
    let mut created = 0;
    for number in 0.. {
        match member.create(lead_named(&format!("w{writer}-{number}"))).await {
            Ok(_) => created += 1,
            Err(status) => match Fault::from_status(&status).reason() {
                ErrorReason::QuotaExceeded => break,
                // Told to try again, as a client would.
                ErrorReason::Unavailable => {}
                _ => return Err(status).context("a writer"),
            },
        }
    }
    Ok(created)
}

pub async fn sixteen_writers_over_two_processes_get_exactly_the_last_hundred(world: Arc<World>) -> anyhow::Result<()> {
    for round in 0..ROUNDS {
        let admin = world.member("enterprise").await?;
        world.limit(admin.id, "leads", 100).await?;
        let writers = (0..WRITERS).map(|writer| {
            let member = Member::new(&world.stack, admin.id, Role::Agent, writer % 2);
            async move { tokio::spawn(write_until_full(member?, writer)).await? }
        });
        let created: i64 = try_join_all(writers).await?.into_iter().sum();
        let (rows, used) = (world.rows(admin.id).await?, world.settle(admin.id).await?);
        ensure!(
            (created, rows, used) == (100, 100, 100),
            "round {round}: {created} acknowledged, {rows} rows, {used} used"
        );
    }
    Ok(())
}

pub async fn importers_and_writers_share_a_limit_to_the_unit(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    world.limit(admin.id, "leads", 777).await?;
    let importers = (0..4).map(|importer| {
        let member = Member::new(&world.stack, admin.id, Role::Admin, importer % 2);
        async move {
            let rows = (0..300)
                .map(|number| lead_named(&format!("i{importer}-{number}")))
                .collect();
            let member = member?;
            tokio::spawn(async move { Ok(member.import(rows).await?.created) }).await?
        }
    });
    let writers = (0..4).map(|writer| {
        let member = Member::new(&world.stack, admin.id, Role::Agent, writer % 2);
        async move { tokio::spawn(write_until_full(member?, writer)).await? }
    });
    let imported = try_join_all(importers);
    let written = try_join_all(writers);
    let (imported, written): (Vec<i64>, Vec<i64>) = tokio::try_join!(imported, written)?;
    let created: i64 = imported.iter().chain(&written).sum();
    let (rows, used) = (world.rows(admin.id).await?, world.settle(admin.id).await?);
    ensure!(
        (created, rows, used) == (777, 777, 777),
        "{created} acknowledged, {rows} rows, {used} used"
    );
    Ok(())
}

/// How a holder keeps its lease busy: seldom enough to keep its units for long, or all the time.
const PACES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(15)];
const LIMIT: i64 = 100;
/// Quick creations at first, by which the holder's lease grows.
const AHEAD: usize = 12;

/// Creates leads at a pace until the limit refuses; every refusal must be true at that moment.
async fn write_at(world: Arc<World>, member: Member, pace: Duration, name: String) -> anyhow::Result<i64> {
    let mut created = 0;
    let mut rhythm = tokio::time::interval(pace);
    for number in 0.. {
        rhythm.tick().await;
        match member.create(lead_named(&format!("{name}-{number}"))).await {
            Ok(_) => created += 1,
            Err(status) => match Fault::from_status(&status).reason() {
                ErrorReason::QuotaExceeded => {
                    // Nobody deletes here: what was there when the limit was compared is there now.
                    let rows = world.rows(member.id).await?;
                    ensure!(rows == LIMIT, "refused at {rows} rows of {LIMIT}");
                    break;
                }
                ErrorReason::Unavailable => {}
                _ => return Err(status).context("a writer"),
            },
        }
    }
    Ok(created)
}

/// Units that leases hold and no row has charged.
async fn unspent(world: &World, member: &Member) -> anyhow::Result<i64> {
    let units = sqlx::query_scalar(
        "select (select coalesce(sum(amount), 0) from quota.reservations where client_id = $1)::bigint
            - (select coalesce(sum(units), 0) from quota.charges where client_id = $1)::bigint",
    );
    Ok(units.bind(member.id.uuid()).fetch_one(&world.behind).await?)
}

pub async fn a_busy_lease_does_not_keep_others_from_the_last_units(world: Arc<World>) -> anyhow::Result<()> {
    for pace in PACES {
        let admin = world.member("enterprise").await?;
        world.limit(admin.id, "leads", LIMIT).await?;
        let holder = Member::new(&world.stack, admin.id, Role::Agent, 0)?;
        for number in 0..AHEAD {
            holder.create(lead_named(&format!("ahead-{number}"))).await?;
        }
        let sleeping = unspent(&world, &admin).await?;
        ensure!(sleeping > 0, "the holder has spent its lease: nothing is tested");
        let others = (0..4).map(|writer| {
            let member = Member::new(&world.stack, admin.id, Role::Agent, 1);
            let world = world.clone();
            async move { tokio::spawn(write_at(world, member?, Duration::from_millis(1), format!("w{writer}"))).await? }
        });
        let holding = tokio::spawn(write_at(world.clone(), holder, pace, "holder".to_owned()));
        let race = async { tokio::try_join!(try_join_all(others), async { holding.await? }) };
        let (others, held) = tokio::time::timeout(LONGEST_RACE, race)
            .await
            .context("the limit neither admits nor refuses")??;
        let ahead = i64::try_from(AHEAD)?;
        let created: i64 = others.iter().sum::<i64>() + held + ahead;
        let (rows, used) = (world.rows(admin.id).await?, world.settle(admin.id).await?);
        ensure!(
            (created, rows, used) == (LIMIT, LIMIT, LIMIT),
            "a holder that writes every {pace:?}: {created} acknowledged, {rows} rows, {used} used"
        );
    }
    Ok(())
}
