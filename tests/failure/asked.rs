//! When QuotaService is asked for allowances: a call of a tenant far from its limit waits for no answer, and one of a
//! tenant at its limit brings no question of its own.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_operator::stack::Plan;
use onekeel_tests::{World, summarise};

use crate::flow::{sum, tenant};
use crate::hammer::{Got, call, until_refused};

/// How often QuotaService was asked, for one tenant or for several.
async fn questions(world: &World) -> anyhow::Result<f64> {
    let asking = ["QuotaService/AcquireAllowance"];
    sum(world, "quota", "onekeel_rpc_requests_total", &asking).await
}

/// Of which a minute's calls are so small a part that a slice lives for as long as any.
const AMPLE: i64 = 1_000_000;
/// Between two calls.
const PACE: Duration = Duration::from_millis(200);
/// Slices that live for less are the first ones.
const LONG_LIFE: Duration = Duration::from_secs(25);
/// A slice that nobody renews ends after a minute, and a call asks for the next one.
const RENEWED_WITHIN: Duration = Duration::from_secs(59);

pub async fn a_tenant_that_calls_on_never_waits_for_an_allowance(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let world = World::start(&Plan::default()).await?;
    let member = tenant(&world, 1, AMPLE).await?.pop().context("one process")?;
    let mut got = Got::default();
    let (mut known, mut asked) = (questions(&world).await?, Instant::now());
    let mut round = tokio::time::interval(PACE);
    let lived = loop {
        round.tick().await;
        ensure!(call(&member, &mut got).await?.is_none(), "refused far from the limit");
        let now = questions(&world).await?;
        let lived = asked.elapsed();
        ensure!(lived < RENEWED_WITHIN, "no question in {lived:?}: the next call waits");
        if now > known {
            if lived >= LONG_LIFE {
                break lived;
            }
            (known, asked) = (now, Instant::now());
        }
    };
    summarise(&format!("a slice of a minute was asked for again after {lived:?}"))?;
    world.stop().await
}

/// Calls of a tenant that is at its limit already.
const BEYOND: usize = 200;
/// A process asks again for a tenant at its limit once a second.
const ASKED_EACH: Duration = Duration::from_secs(1);
const LONGEST_RETURN: Duration = Duration::from_secs(5);

pub async fn a_tenant_at_its_limit_is_refused_without_a_question_each_time(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let world = World::start(&Plan::default()).await?;
    let member = tenant(&world, 1, 20).await?.pop().context("one process")?;
    let mut got = Got::default();
    let refused = until_refused(&member, 40, &mut got).await?;
    refused.context("the limit is not reached")?;
    let began = Instant::now();
    // For two seconds after a limit has changed, each call asks, as the answer may be by the limit of before.
    let (asked, took) = loop {
        let (before, from) = (questions(&world).await?, Instant::now());
        ensure!(before > 0.0, "questions are not counted");
        for _ in 0..BEYOND {
            let fault = call(&member, &mut got).await?.context("let in above the limit")?;
            let retry = fault.retry_delay().context("no time to retry")?;
            ensure!(retry > ASKED_EACH, "the minute has just begun, and {retry:?} are left");
        }
        let (asked, took) = (questions(&world).await? - before, from.elapsed());
        if asked <= 1.0 + took.div_duration_f64(ASKED_EACH) {
            break (asked, took);
        }
        ensure!(began.elapsed() < LONGEST_RETURN, "{asked} questions in {took:?}");
    };
    summarise(&format!(
        "{BEYOND} calls above the limit in {took:?}: {asked} questions to QuotaService"
    ))?;
    // An upgrade is noticed all the same.
    world.limit(member.id, "requests_per_minute", 1_000).await?;
    let (mut round, raised) = (tokio::time::interval(Duration::from_millis(50)), Instant::now());
    while call(&member, &mut got).await?.is_some() {
        ensure!(
            raised.elapsed() < LONGEST_RETURN,
            "still refused by the limit of before"
        );
        round.tick().await;
    }
    world.stop().await
}
