//! Connections that have lived long enough.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CountLeadsRequest, ImportLeadsRequest};
use onekeel_server::Resend;
use onekeel_tests::{Member, World, lead_named};

use tokio_stream::wrappers::IntervalStream;

use crate::extra::{Extra, request};

const CONNECTIONS: &str = "onekeel_connections_total";
const CUT_OFF: &str = "onekeel_connections_cut_off_total";
const CALLERS: usize = 4;

/// Calls on one channel again and again; returns how often.
async fn keep_calling(world: &World, extra: &Extra, member: &Member, over: &AtomicBool) -> anyhow::Result<usize> {
    let mut leads = LeadServiceClient::new(Resend::from(extra.channel()?));
    let mut round = tokio::time::interval(Duration::from_millis(35));
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return Ok(number);
        }
        round.tick().await;
        let answer = leads.count_leads(request(world, member, CountLeadsRequest {})?).await;
        answer.with_context(|| format!("call {number}"))?;
    }
    unreachable!("the loop has no end of its own")
}

/// An import that sends a row each half second.
fn slow_rows(rows: usize) -> impl tokio_stream::Stream<Item = ImportLeadsRequest> + Send + 'static {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(500)));
    let row = |number: usize| ImportLeadsRequest {
        leads: vec![lead_named(&format!("row{number}"))],
    };
    ticks
        .zip(tokio_stream::iter(0..rows))
        .map(move |(_, number)| row(number))
}

pub async fn connections_end_gently_and_no_call_fails(world: Arc<World>) -> anyhow::Result<()> {
    let extra = Extra::start(&world, &[("MAX_CONNECTION_AGE_SECONDS", "1")]).await?;
    let mut members = Vec::new();
    for _ in 0..CALLERS {
        members.push(world.member("enterprise").await?);
    }
    let before = extra.metric(CONNECTIONS).await?;
    let over = AtomicBool::new(false);
    let callers = members.iter().map(|member| keep_calling(&world, &extra, member, &over));
    let callers = futures_util::future::try_join_all(callers);
    let import = async {
        // It outlives its connection's age by far, and ends as if nothing had happened.
        let answer = extra
            .leads()?
            .import_leads(request(&world, &members[0], slow_rows(16))?)
            .await;
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(answer.context("the import")?.into_inner())
    };
    let (calls, imported) = tokio::try_join!(callers, import)?;
    ensure!(imported.created == 16, "{imported:?}");
    let calls: usize = calls.into_iter().sum();
    let connections = extra.metric(CONNECTIONS).await? - before;
    println!("{calls} calls on {connections} connections");
    // Four channels and the import; without an age each would have stayed on its first connection.
    ensure!(connections >= 4.0 * CALLERS as f64, "{connections} connections only");
    ensure!(extra.metric(CUT_OFF).await? == 0.0, "connections were cut off");
    extra.stop().await
}

pub async fn a_call_that_outlasts_the_grace_is_cut_off(world: Arc<World>) -> anyhow::Result<()> {
    let ages = [
        ("MAX_CONNECTION_AGE_SECONDS", "1"),
        ("MAX_CONNECTION_AGE_GRACE_SECONDS", "1"),
    ];
    let extra = Extra::start(&world, &ages).await?;
    let member = world.member("enterprise").await?;
    let endless = request(&world, &member, slow_rows(1000))?;
    let answer = tokio::time::timeout(Duration::from_secs(10), extra.leads()?.import_leads(endless)).await;
    let answer = answer.context("the call went on beyond age and grace")?;
    ensure!(answer.is_err(), "{answer:?}");
    extra.wait_for_more(CUT_OFF, 0.0).await?;
    extra.stop().await
}
