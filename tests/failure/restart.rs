//! PostgreSQL and Redis that end under load and come back.
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::lead::ListLeadsRequest;
use onekeel_operator::private::{Backing, Ending};
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, lead_named};
use uuid::Uuid;

use crate::load::{Load, Told};
use crate::watch::Watch;

/// Of each kind of end.
const TIMES: usize = 2;
/// How often PostgreSQL is cut off in a row.
const CUTS: usize = 10;
/// A server asks its database every second, and waits a second for the answer.
const LONGEST_FALL: Duration = Duration::from_secs(5);
/// From when PostgreSQL answers again.
const LONGEST_RISE: Duration = Duration::from_secs(10);
const LONGEST_RETURN: Duration = Duration::from_secs(20);
/// Leads that go through all steps before and after each outage.
const BETWEEN: usize = 30;

/// The longest that each thing took.
#[derive(Default)]
struct Longest {
    fall: Duration,
    rise: Duration,
    back: Duration,
}

async fn start() -> anyhow::Result<(World, Member)> {
    let world = World::on(Backing::start_private().await?, &Plan::default()).await?;
    let admin = world.member("enterprise").await?;
    world.limit(admin.id, "requests_per_minute", 2_000_000).await?;
    let member = Member::new(&world.stack, admin.id, Role::Admin, 0)?;
    Ok((world, member))
}

pub async fn postgres_ends_under_load_and_nothing_acknowledged_is_lost(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let (mut world, member) = start().await?;
    let watch = Watch::start(&world.stack)?;
    let mut load = Load::start(&member);
    let (mut longest, mut outages) = (Longest::default(), 0);
    for ending in [Ending::Fast, Ending::Immediate, Ending::Killed] {
        for _ in 0..TIMES {
            load.progress(BETWEEN, LONGEST_RETURN).await.context("before the end")?;
            let postgres = world.backing.postgres().context("a private PostgreSQL")?;
            postgres.end(ending).await?;
            longest.fall = longest.fall.max(watch.until(false, LONGEST_FALL).await?);
            postgres.restart().await?;
            let (rise, back) =
                tokio::try_join!(watch.until(true, LONGEST_RISE), load.progress(BETWEEN, LONGEST_RETURN))
                    .with_context(|| format!("after the end {ending:?}"))?;
            (longest.rise, longest.back) = (longest.rise.max(rise), longest.back.max(back));
            outages += 1;
        }
    }
    let told = load.stop().await?;
    let (falls, probes) = (watch.falls(), watch.all_alive()?);
    let rows = nothing_is_lost(&world, &member, &told).await?;
    println!(
        "PostgreSQL ended {outages} times (fast, immediate, killed): {}; ready fell within {:.1?} and rose within {:.1?}, \
         the load was back within {:.1?}, {probes} probes of liveness; {rows} rows, {rows} used, 0 reserved",
        sentence(&told),
        longest.fall,
        longest.rise,
        longest.back
    );
    ensure!(falls >= outages, "readiness fell {falls} times only");
    let unavailable = told.refused.get("UNAVAILABLE").copied().unwrap_or_default();
    ensure!(unavailable > 0, "no call was refused: nothing was tested");
    drop(watch);
    world.stop().await
}

pub async fn postgres_cut_off_ten_times_leaves_no_orphan_and_no_drift(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let (mut world, member) = start().await?;
    let mut load = Load::start(&member);
    let mut back = Duration::ZERO;
    for cut in 0..CUTS {
        load.progress(BETWEEN, LONGEST_RETURN).await.context("before the end")?;
        let postgres = world.backing.postgres().context("a private PostgreSQL")?;
        postgres.end(Ending::Immediate).await?;
        postgres.restart().await?;
        let progress = load.progress(BETWEEN, LONGEST_RETURN).await;
        back = back.max(progress.with_context(|| format!("after cut {cut}"))?);
    }
    let told = load.stop().await?;
    let rows = nothing_is_lost(&world, &member, &told).await?;
    let (charges, bytes): (i64, i64) = sqlx::query_as(
        "select (select count(*) from quota.charges),
            (select coalesce(sum(stored_bytes), 0)::bigint from lead.leads where deleted_at is null)
            - (select sum(used)::bigint from quota.usage where resource = 'storage_bytes')",
    )
    .fetch_one(&world.behind)
    .await?;
    ensure!(
        (charges, bytes) == (0, 0),
        "{charges} charges without a lease, {bytes} bytes nobody counted"
    );
    println!(
        "PostgreSQL cut off {CUTS} times: {}; the load was back within {back:.1?}; {rows} rows, {rows} used, 0 reserved",
        sentence(&told)
    );
    let unavailable = told.refused.get("UNAVAILABLE").copied().unwrap_or_default();
    ensure!(unavailable > 0, "no call was refused: nothing was tested");
    world.stop().await
}

/// A restore, as PostgreSQL's next run shows it: a lead is what it was before its last change, and its version was given again.
pub async fn a_page_of_another_database_is_not_sent_again(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let (mut world, member) = start().await?;
    member.create(lead_named("ann")).await?;
    let shown = async || {
        let page = member.list(ListLeadsRequest::default()).await?;
        let names = page.leads.iter().map(|lead| lead.first_name.clone());
        anyhow::Ok(names.collect::<Vec<_>>())
    };
    ensure!(shown().await? == ["ann"], "a page that is read");
    sqlx::query("update lead.leads set first_name = 'bob' where client_id = $1")
        .bind(member.id.uuid())
        .execute(&world.behind)
        .await?;
    ensure!(
        shown().await? == ["ann"],
        "the page is not remembered: nothing is tested"
    );
    let postgres = world.backing.postgres().context("a private PostgreSQL")?;
    postgres.end(Ending::Fast).await?;
    postgres.restart().await?;
    let deadline = Instant::now() + LONGEST_RETURN;
    let mut again = tokio::time::interval(Duration::from_millis(100));
    let names = loop {
        again.tick().await;
        match shown().await {
            Ok(names) => break names,
            Err(error) => ensure!(Instant::now() < deadline, "no page since PostgreSQL is back: {error:#}"),
        }
    };
    ensure!(names == ["bob"], "{names:?} are shown");
    world.stop().await
}

pub async fn redis_ends_under_load_and_readiness_does_not_fall(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let (mut world, member) = start().await?;
    let watch = Watch::start(&world.stack)?;
    let mut load = Load::start(&member);
    let mut back = Duration::ZERO;
    for _ in 0..TIMES {
        load.progress(BETWEEN, LONGEST_RETURN).await.context("before the end")?;
        let redis = world.backing.redis().context("a private Redis")?;
        redis.kill().await?;
        back = back.max(load.progress(BETWEEN, LONGEST_RETURN).await.context("without Redis")?);
        redis.restart().await?;
        load.progress(BETWEEN, LONGEST_RETURN)
            .await
            .context("with Redis again")?;
    }
    let told = load.stop().await?;
    let (falls, probes) = (watch.falls(), watch.all_alive()?);
    let rows = nothing_is_lost(&world, &member, &told).await?;
    println!(
        "Redis killed {TIMES} times: {}; without it {BETWEEN} leads took at most {back:.1?}, readiness fell {falls} times, \
         {probes} probes of liveness; {rows} rows, {rows} used, 0 reserved",
        sentence(&told)
    );
    ensure!(falls == 0, "readiness fell {falls} times without Redis");
    drop(watch);
    world.stop().await
}

/// Fails unless exactly what callers were told is there, and charged; returns the number of rows.
async fn nothing_is_lost(world: &World, member: &Member, told: &Told) -> anyhow::Result<i64> {
    let used = world.settle(member.id).await?;
    let there: Vec<(Uuid, String)> =
        sqlx::query_as("select id, coalesce(company, '') from lead.leads where client_id = $1 and deleted_at is null")
            .bind(member.id.uuid())
            .fetch_all(&world.behind)
            .await?;
    let there: HashMap<Uuid, String> = there.into_iter().collect();
    let lost = told.alive.keys().filter(|id| !there.contains_key(id)).count();
    let undone = told.deleted.iter().filter(|id| there.contains_key(id)).count();
    ensure!(
        (lost, undone) == (0, 0),
        "{lost} acknowledged rows are lost, {undone} deleted ones are back"
    );
    let old = there
        .iter()
        .filter(|(id, company)| told.alive.get(id) != Some(company))
        .count();
    ensure!(old == 0, "{old} rows are not as they were acknowledged last");
    let rows = i64::try_from(there.len())?;
    ensure!(rows == used, "{rows} rows, {used} used");
    Ok(rows)
}

fn sentence(told: &Told) -> String {
    let mut text = format!("{} calls acknowledged", told.acknowledged);
    for (reason, calls) in &told.refused {
        write!(text, ", {calls} refused as {reason}").expect("a string takes it");
    }
    write!(
        text,
        ", {} ended by the caller's clock, the longest took {:.1?}",
        told.given_up, told.longest
    )
    .expect("a string takes it");
    text
}
