//! Requests a minute: no window ever admits more than the limit, whoever calls where and whatever the clock of Redis
//! says, and little of a limit is lost.
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, scrape, summarise, tool, values};
use tokio::task::JoinSet;

use crate::hammer::{Got, Pattern, hammer};

/// Longer than a window and what the log counts beyond it, so that a second window opens.
const LONG: Duration = Duration::from_secs(70);
const PROCESSES: usize = 4;
/// Of what is demanded at the limit. The log counts 61.5 s for each minute, so 60 of 61.5 may be had for ever.
const LEAST_AT_THE_LIMIT: f64 = 0.94;

/// How a tenant calls, at how many processes, and its limit.
const TENANTS: [(Pattern, usize, i64); 8] = [
    (Pattern::Burst(8), PROCESSES, 300),
    (Pattern::Burst(6), PROCESSES, 7),
    (Pattern::OnOff(8), PROCESSES, 600),
    (Pattern::Apart(8), PROCESSES, 800),
    (Pattern::Steady(1200), 1, 1200),
    (Pattern::Steady(1200), PROCESSES, 1200),
    (Pattern::Steady(1320), 1, 1200),
    (Pattern::Steady(1320), PROCESSES, 1200),
];

/// The user of a new tenant with this limit, at each of the first processes.
pub async fn tenant(world: &World, processes: usize, limit: i64) -> anyhow::Result<Vec<Member>> {
    let admin = world.member("basic").await?;
    world.limit(admin.id, "requests_per_minute", limit).await?;
    let at = |process| Member::new(&world.stack, admin.id, Role::Admin, process);
    (0..processes).map(at).collect()
}

/// The sum of a metric's series with these labels at all servers of a service.
pub async fn sum(world: &World, service: &str, metric: &str, labels: &[&str]) -> anyhow::Result<f64> {
    let mut all = 0.0;
    for server in world.stack.servers().filter(|server| server.service() == service) {
        let text = scrape(&server.metrics_address()).await?;
        all += values(&text, metric, labels).iter().sum::<f64>();
    }
    Ok(all)
}

pub async fn no_minute_admits_more_than_the_limit_at_four_processes(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let world = World::start(&Plan::default().with("lead", PROCESSES)).await?;
    let mut running = JoinSet::new();
    for (number, (pattern, processes, limit)) in TENANTS.into_iter().enumerate() {
        let members = tenant(&world, processes, limit).await?;
        running.spawn(async move { anyhow::Ok((number, hammer(members, pattern, LONG).await?)) });
    }
    let mut told: Vec<(usize, Got)> = Vec::new();
    while let Some(ended) = running.join_next().await {
        told.push(ended??);
    }
    told.sort_by_key(|(number, _)| *number);
    let mut text = String::from("request limits, the fullest minute of each tenant and the share of calls let in:");
    for (number, got) in &told {
        let (pattern, processes, limit) = TENANTS[*number];
        let (most, share) = (got.most_in_a_minute(), share(got));
        let percent = 100.0 * most as f64 / limit as f64;
        write!(
            text,
            "\n  {pattern:?} at {processes} processes: {most} of {limit} ({percent:.1} %), {share:.3} of {} calls",
            got.calls()
        )?;
        ensure!(
            got.unavailable == 0,
            "{pattern:?}: {} calls were not counted",
            got.unavailable
        );
    }
    // By the failure policy: an authority that a busy machine keeps from answering is away.
    let labels = ["outcome=\"admitted\""];
    let uncounted = sum(&world, "lead", "onekeel_allowance_fallbacks_total", &labels).await?;
    write!(
        text,
        "\n  {uncounted} calls of all were let in while the authority did not answer"
    )?;
    summarise(&text)?;
    for (number, got) in &told {
        let (pattern, _, limit) = TENANTS[*number];
        let most = i64::try_from(got.most_in_a_minute())?;
        ensure!(
            most as f64 <= limit as f64 + uncounted,
            "{pattern:?}: {most} of {limit} in a minute, {uncounted} of all uncounted"
        );
        ensure!(got.limited > 0, "{pattern:?} never met its limit: nothing was tested");
        if let Pattern::Steady(_) = pattern {
            let least = LEAST_AT_THE_LIMIT * limit as f64;
            ensure!(most as f64 >= least, "{pattern:?}: {most} of {limit} is too little");
        }
        if let Pattern::Burst(_) = pattern {
            let all = i64::try_from(got.admitted.len())?;
            ensure!(all > limit, "{pattern:?}: {all} in all, no second minute was opened");
        }
    }
    world.stop().await
}

fn share(got: &Got) -> f64 {
    got.admitted.len() as f64 / got.calls() as f64
}

/// What the clock of Redis is set to, in seconds from the true time, and when.
const STEPS: [(Duration, i64); 3] = [
    (Duration::from_secs(6), 3600),
    (Duration::from_secs(12), -3600),
    (Duration::from_secs(18), 0),
];

pub async fn a_clock_of_redis_that_is_set_by_hours_admits_no_more_and_no_less(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let library = tool("faketime").context("the library of faketime")?;
    let plan = Plan::default().with("lead", 2).with("quota", 2);
    let mut world = World::on(Backing::start_private_by_clock(&library).await?, &plan).await?;
    let limit = 300;
    let greedy = tenant(&world, 2, limit).await?;
    // Half of what it may: nothing of it is refused, unless the clock stands still.
    let modest = tenant(&world, 2, 600).await?;
    let log = format!("onekeel:{{{}}}:allowance:log", greedy[0].id);
    let greedy = tokio::spawn(hammer(greedy, Pattern::Burst(4), LONG));
    let modest = tokio::spawn(hammer(modest, Pattern::Steady(300), LONG));
    let began = tokio::time::Instant::now();
    for (at, seconds) in STEPS {
        tokio::time::sleep_until(began + at).await;
        world.backing.redis().context("a private Redis")?.set_clock(seconds)?;
    }
    let (greedy, modest) = (greedy.await??, modest.await??);
    let redis = world.backing.redis().context("a private Redis")?;
    let length: i64 = redis
        .tell(&format!("LLEN {log}"))
        .await?
        .trim_start_matches(':')
        .parse()?;
    let mut last = 0;
    for index in 0..length {
        let entry = redis.tell(&format!("LINDEX {log} {index}")).await?;
        let at: i64 = entry.split(':').next().context("a time")?.parse()?;
        ensure!(at >= last, "entry {index} of the log is older than the one before");
        last = at;
    }
    let mut noticed = 0;
    for server in world.stack.servers().filter(|server| server.service() == "quota") {
        noticed += std::fs::read_to_string(server.log())?
            .matches("the clock of Redis was set")
            .count();
    }
    let most = i64::try_from(greedy.most_in_a_minute())?;
    summarise(&format!(
        "clock of Redis set {} times by up to two hours, noticed {noticed} times: {most} of {limit} in the fullest minute, \
         {} in {LONG:?}; at half of a limit {} of {} calls were refused",
        STEPS.len(),
        greedy.admitted.len(),
        modest.limited,
        modest.calls()
    ))?;
    ensure!(noticed >= STEPS.len(), "only {noticed} steps were noticed");
    ensure!(most <= limit, "{most} of {limit} in a minute");
    ensure!(
        greedy.admitted.len() > usize::try_from(limit)?,
        "no second minute was opened: {}",
        greedy.admitted.len()
    );
    ensure!(
        (modest.limited, modest.unavailable) == (0, 0),
        "{} calls were limited and {} not counted below the limit",
        modest.limited,
        modest.unavailable
    );
    world.stop().await
}
