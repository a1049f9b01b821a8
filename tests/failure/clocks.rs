//! Servers whose clocks are hours apart. Limits of requests go by one clock, that of Redis, and by monotonic time; tokens go
//! by each server's own clock, so a server that is far off trusts nobody, or nobody trusts it, and nothing is let in.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::{ErrorReason, Fault};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, summarise, tool};
use tonic::Status;

use crate::hammer::{Got, Pattern, call, hammer};

const LIMIT: i64 = 300;
const LONG: Duration = Duration::from_secs(70);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// Processes of LeadService and their clocks, in seconds from the true time.
const CLOCKS: [i64; 3] = [0, 3600, -3600];

/// Calls one process for so long; returns what was let in, and how many calls nobody's token was good for.
async fn try_on(member: Member, long: Duration) -> anyhow::Result<(Got, usize)> {
    let (until, mut got, mut strangers) = (Instant::now() + long, Got::default(), 0);
    let mut tries = tokio::time::interval(BETWEEN_TRIES);
    while Instant::now() < until {
        tries.tick().await;
        let Err(error) = call(&member, &mut got).await else {
            continue;
        };
        let status = error.downcast_ref::<Status>().context("another error")?;
        let reason = Fault::from_status(status).reason();
        ensure!(reason == ErrorReason::Unauthenticated, "{error:?}");
        strangers += 1;
    }
    Ok((got, strangers))
}

pub async fn servers_whose_clocks_are_hours_apart_admit_no_more_than_the_limit(
    suite: Arc<World>,
) -> anyhow::Result<()> {
    drop(suite);
    let library = tool("faketime").context("the library of faketime")?;
    let library = library.to_str().context("its path is no text")?;
    let mut plan = Plan::default().with("lead", CLOCKS.len()).with("quota", 2);
    for (replica, seconds) in CLOCKS.into_iter().enumerate().filter(|(_, seconds)| *seconds != 0) {
        for (name, value) in [
            ("LD_PRELOAD", library),
            ("FAKETIME", &format!("{seconds:+}s")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ] {
            plan = plan.with_env_of("lead", replica, name, value);
        }
    }
    let mut world = World::on(Backing::start_private().await?, &plan).await?;
    let admin = world.member("basic").await?;
    // Nothing may be let in uncounted, and Redis has been there for long.
    world.limit_requests(admin.id, LIMIT, "closed").await?;
    admin
        .get(&uuid::Uuid::now_v7().to_string())
        .await
        .err()
        .context("no such lead")?;
    let redis = world.backing.redis().context("a private Redis")?;
    redis.tell("HSET onekeel:allowance:redis began 1").await?;

    let at = |process| Member::new(&world.stack, admin.id, Role::Admin, process);
    let (true_time, fast, slow) = (at(0)?, at(1)?, at(2)?);
    let (right, fast, slow) = tokio::join!(
        hammer(vec![true_time], Pattern::Burst(4), LONG),
        try_on(fast, LONG),
        try_on(slow, LONG),
    );
    let (mut all, (fast, fast_strangers), (slow, slow_strangers)) = (right?, fast?, slow?);
    let admitted = [all.admitted.len(), fast.admitted.len(), slow.admitted.len()];
    ensure!(fast_strangers + fast.calls() > 100, "the fast server was hardly called");
    ensure!(slow_strangers + slow.calls() > 100, "the slow server was hardly called");
    all.add(fast);
    all.add(slow);
    let most = i64::try_from(all.most_in_a_minute())?;
    summarise(&format!(
        "clocks of three servers two hours apart: {most} of {LIMIT} in the fullest minute; {admitted:?} were admitted by the \
         right one, the fast one and the slow one, which took {fast_strangers} and {slow_strangers} tokens for no good"
    ))?;
    ensure!(most <= LIMIT, "{most} of {LIMIT} in a minute");
    ensure!(
        admitted[0] >= usize::try_from(LIMIT)? / 2,
        "the right server admitted {} only",
        admitted[0]
    );
    world.stop().await
}
