//! One tenant's slow calls and the database connections of a server.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::lead::Lead;
use onekeel_operator::stack::Plan;
use onekeel_tests::{World, lead_named};
use tokio::task::JoinSet;

/// Of a server; a tenant gets half.
const CONNECTIONS: i64 = 4;
const SLOW_CALLS: usize = 6;
const OTHER_CALLS: usize = 20;
const LONGEST: Duration = Duration::from_secs(2);

pub async fn slow_calls_of_one_tenant_leave_connections_to_another(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let plan = Plan::default().with_env("MAX_CONNECTIONS", &CONNECTIONS.to_string());
    let world = World::start(&plan).await?;
    let (slow, other) = (world.member("enterprise").await?, world.member("enterprise").await?);
    let (stuck, read) = (
        slow.create(lead_named("ann")).await?,
        other.create(lead_named("bob")).await?,
    );

    // Whoever changes this row waits.
    let mut held = world.behind.acquire().await?;
    sqlx::raw_sql("begin").execute(&mut *held).await?;
    sqlx::query("select from lead.leads where id = $1 for update")
        .bind(uuid::Uuid::parse_str(&stuck.id)?)
        .execute(&mut *held)
        .await?;
    let mut calls = JoinSet::new();
    for number in 0..SLOW_CALLS {
        let (slow, id) = (slow.clone(), stuck.id.clone());
        calls.spawn(async move {
            let lead = Lead {
                id,
                company: format!("company {number}"),
                ..Lead::default()
            };
            slow.update(lead, &["company"]).await
        });
    }
    let stuck = waiting(&world, CONNECTIONS / 2).await?;
    let mut longest = Duration::ZERO;
    for _ in 0..OTHER_CALLS {
        let sent = Instant::now();
        let answer = tokio::time::timeout(LONGEST, other.get(&read.id)).await;
        answer.context("another tenant's call waits for a connection")??;
        longest = longest.max(sent.elapsed());
    }
    ensure!(
        waiting(&world, stuck).await? == stuck,
        "a tenant holds more than its share"
    );
    sqlx::raw_sql("commit").execute(&mut *held).await?;
    drop(held);
    let mut changed = 0;
    while let Some(answer) = calls.join_next().await {
        answer?.context("a call that waited for its lane")?;
        changed += 1;
    }
    println!(
        "{SLOW_CALLS} slow calls held {stuck} of {CONNECTIONS} connections; {OTHER_CALLS} calls of another tenant took at \
         most {longest:.1?}, and {changed} slow calls ended well"
    );
    world.stop().await
}

/// Waits until `least` transactions of LeadService wait for a row; returns how many do.
async fn waiting(world: &World, least: i64) -> anyhow::Result<i64> {
    let deadline = Instant::now() + LONGEST;
    let mut round = tokio::time::interval(Duration::from_millis(50));
    loop {
        round.tick().await;
        let now: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database()
                and application_name = 'onekeel-lead' and wait_event_type = 'Lock'",
        )
        .fetch_one(&world.behind)
        .await?;
        if now >= least {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "only {now} calls wait");
    }
}
