//! What each failure policy does while nobody counts, and what it admits when Redis has forgotten.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::{ErrorReason, Fault};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tests::{Member, World, summarise};

use crate::hammer::{Got, call, until_refused};

const LIMIT: usize = 40;
const MANY: usize = 3 * LIMIT;
/// What a closed limit waits for at the most, and a little.
const LONGEST_DOUBT: Duration = Duration::from_secs(75);
/// A process asks again each second.
const LONG_ENOUGH: Duration = Duration::from_secs(3);
const LONGEST_RETURN: Duration = Duration::from_secs(20);

/// A tenant's user whose policy the server knows, since it has called.
async fn member(world: &World, policy: &str) -> anyhow::Result<(Member, Got)> {
    let (member, mut got) = (world.member("basic").await?, Got::default());
    world.limit_requests(member.id, i64::try_from(LIMIT)?, policy).await?;
    ensure!(call(&member, &mut got).await?.is_none(), "a first call is refused");
    Ok((member, got))
}

/// Lets Redis have been there for long, so that a closed limit trusts it.
async fn age(world: &mut World) -> anyhow::Result<()> {
    let redis = world.backing.redis().context("a private Redis")?;
    // The first question leaves the mark that is set back here.
    redis.tell("HSET onekeel:allowance:redis began 1").await?;
    Ok(())
}

/// Waits until a call of the member is let in.
async fn returns(member: &Member, longest: Duration, got: &mut Got) -> anyhow::Result<Duration> {
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(100)));
    while call(member, got).await?.is_some() {
        ensure!(began.elapsed() < longest, "still refused after {longest:?}");
        round.tick().await;
    }
    Ok(began.elapsed())
}

/// Calls until the authority was asked once more: a process refuses by itself for a second at most.
async fn asked_anew(member: &Member, got: &mut Got) -> anyhow::Result<Option<Fault>> {
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(100)));
    loop {
        let refused = call(member, got).await?;
        let by_the_limit = refused
            .as_ref()
            .is_some_and(|fault| fault.reason() == ErrorReason::RateLimited);
        if !by_the_limit {
            return Ok(refused);
        }
        ensure!(began.elapsed() < LONG_ENOUGH, "refused by what was before");
        round.tick().await;
    }
}

/// As [`until_refused`], once the refusal of before is over.
async fn until_refused_anew(member: &Member, got: &mut Got) -> anyhow::Result<()> {
    ensure!(asked_anew(member, got).await?.is_none(), "there is no room");
    until_refused(member, MANY, got).await?.context("no limit")?;
    Ok(())
}

/// Calls until the authority has surely been asked again; until then the share decides.
async fn for_a_while(member: &Member) -> anyhow::Result<Got> {
    let (began, mut got) = (Instant::now(), Got::default());
    let mut round = tokio::time::interval(Duration::from_millis(100));
    while began.elapsed() < LONG_ENOUGH {
        call(member, &mut got).await?;
        round.tick().await;
    }
    Ok(got)
}

fn is_doubt(fault: Option<&Fault>) -> anyhow::Result<()> {
    let fault = fault.context("a closed limit admits what nobody counts")?;
    ensure!(fault.reason() == ErrorReason::Unavailable, "{fault}");
    ensure!(fault.retry_delay().is_some(), "no time to retry");
    Ok(())
}

pub async fn each_policy_decides_while_the_authority_is_away(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default()).await?;
    let (bounded, mut of_bounded) = member(&world, "bounded").await?;
    age(&mut world).await?;
    let (closed, mut of_closed) = member(&world, "closed").await?;
    let (open, mut of_open) = member(&world, "open").await?;
    let stranger = world.member("basic").await?;
    world.stack.server("quota", 0)?.process().kill().await?;

    let mut alone = Got::default();
    is_doubt(until_refused(&closed, MANY, &mut alone).await?.as_ref()).context("closed")?;
    ensure!(
        alone.admitted.len() <= 1,
        "closed admitted {} calls",
        alone.admitted.len()
    );
    of_closed.add(alone);
    ensure!(
        until_refused(&open, MANY, &mut of_open).await?.is_none(),
        "open refuses"
    );
    let refused = until_refused(&bounded, MANY, &mut of_bounded).await?;
    let refused = refused.context("bounded admits everything")?;
    ensure!(refused.reason() == ErrorReason::RateLimited, "{refused}");
    // The share of the only process is the whole limit, and one call was counted before.
    let share = of_bounded.admitted.len();
    ensure!((LIMIT..=LIMIT + 2).contains(&share), "bounded admitted {share} calls");
    is_doubt(call(&stranger, &mut Got::default()).await?.as_ref()).context("a tenant that nobody knows")?;

    world.stack.server("quota", 0)?.kill_and_restart().await?;
    returns(&closed, LONGEST_RETURN, &mut of_closed).await?;
    // What was spent alone has been told, so the same minute holds nothing more.
    let after = for_a_while(&bounded).await?;
    ensure!(
        after.admitted.is_empty(),
        "{} more in the same minute",
        after.admitted.len()
    );
    let server = world.stack.servers().find(|server| server.service() == "lead");
    let log = std::fs::read_to_string(server.context("a server")?.log())?;
    let lines = [
        "request allowances cannot be had",
        "request allowances are counted exactly again",
    ];
    ensure!(
        lines.map(|line| log.matches(line).count()) == [1, 1],
        "the log does not tell of one outage:\n{log}"
    );
    world.stop().await
}

pub async fn a_redis_that_forgets_admits_a_closed_limit_once_and_others_twice(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default()).await?;
    let new = world.member("basic").await?;
    world.limit_requests(new.id, 5, "closed").await?;
    is_doubt(call(&new, &mut Got::default()).await?.as_ref()).context("Redis is new")?;
    age(&mut world).await?;
    let (closed, mut of_closed) = member(&world, "closed").await?;
    let (flushed, mut of_flushed) = member(&world, "bounded").await?;
    let (killed, mut of_killed) = member(&world, "bounded").await?;
    for (member, got) in [
        (&closed, &mut of_closed),
        (&flushed, &mut of_flushed),
        (&killed, &mut of_killed),
    ] {
        let refused = until_refused(member, MANY, got).await?.context("no limit")?;
        ensure!(refused.reason() == ErrorReason::RateLimited, "{refused}");
    }
    let exact = of_closed.admitted.len();

    world
        .backing
        .redis()
        .context("a private Redis")?
        .tell("FLUSHALL")
        .await?;
    is_doubt(asked_anew(&closed, &mut of_closed).await?.as_ref()).context("after the flush")?;
    until_refused_anew(&flushed, &mut of_flushed).await?;

    // Let the log of the other tenant be there again, as if the flush had not been.
    until_refused_anew(&killed, &mut of_killed).await?;
    let before_kill = of_killed.admitted.len();
    world.backing.redis().context("a private Redis")?.kill().await?;
    is_doubt(call(&closed, &mut of_closed).await?.as_ref()).context("without Redis")?;
    let mut alone = Got::default();
    until_refused_anew(&killed, &mut alone).await?;
    let share = alone.admitted.len();
    world.backing.redis().context("a private Redis")?.restart().await?;
    let after = for_a_while(&killed).await?;
    is_doubt(call(&closed, &mut of_closed).await?.as_ref()).context("after the restart")?;
    let doubt = returns(&closed, LONGEST_DOUBT, &mut of_closed).await?;
    until_refused(&closed, MANY, &mut of_closed).await?;

    let most = of_closed.most_in_a_minute();
    summarise(&format!(
        "Redis flushed and killed: a closed limit of {LIMIT} admitted {most} in its fullest minute and nothing for {doubt:.0?} \
         after the restart; bounded {} over a flush, {share} without Redis and {} after it",
        of_flushed.admitted.len(),
        after.admitted.len()
    ))?;
    ensure!(exact >= LIMIT - 2, "closed admitted {exact} of {LIMIT} before");
    ensure!(most <= LIMIT, "closed admitted {most} of {LIMIT} in a minute");
    ensure!(of_closed.admitted.len() > exact, "closed never opened again");
    let twice = of_flushed.most_in_a_minute();
    ensure!(
        (LIMIT + 1..=2 * LIMIT).contains(&twice),
        "bounded admitted {twice} over a flush, or nothing was forgotten"
    );
    ensure!(
        before_kill <= 2 * LIMIT && share <= LIMIT + 1,
        "{before_kill} before, {share} alone"
    );
    ensure!(
        after.admitted.is_empty(),
        "{} more after the restart",
        after.admitted.len()
    );
    world.stop().await
}
