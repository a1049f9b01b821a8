//! What tenants use is counted exactly, survives the end of servers, and costs what the prices say.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{Days, Utc};
use onekeel_api::lead::Lead;
use onekeel_api::quota::usage_service_client::UsageServiceClient;
use onekeel_api::quota::{
    GetUsageReportRequest, ListPriceListsRequest, Price, PriceList, PublishPriceListRequest, Usage, UsageReport,
    UsageUnit,
};
use onekeel_api::{ClientId, ErrorReason};
use onekeel_operator::private::{Backing, Ending};
use onekeel_operator::stack::Plan;
use onekeel_tests::{Member, Ran, World, is, lead_named, run};
use serde_json::Value;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::commands::onekeel;

/// Servers write down what they counted this often, when it is little.
const ROUND: Duration = Duration::from_secs(15);
/// What a busy machine may take besides.
const SLACK: Duration = Duration::from_secs(10);

fn reports(world: &World) -> anyhow::Result<UsageServiceClient<Channel>> {
    Ok(UsageServiceClient::new(world.stack.channel("quota", 0)?))
}

/// Yesterday to tomorrow: a test may run at midnight.
fn lately(client: &str) -> GetUsageReportRequest {
    let today = Utc::now().date_naive();
    GetUsageReportRequest {
        client_id: client.to_owned(),
        start_date: (today - Days::new(1)).to_string(),
        end_date: (today + Days::new(1)).to_string(),
    }
}

/// An operator's look at a tenant; it is on nobody's bill.
async fn report(world: &World, id: ClientId) -> anyhow::Result<UsageReport> {
    let wish = world.as_platform(lately(&id.to_string()))?;
    Ok(reports(world)?.get_usage_report(wish).await?.into_inner())
}

async fn total(world: &World, id: ClientId) -> anyhow::Result<Usage> {
    report(world, id).await?.total.context("a total")
}

/// Waits until so many requests are written down.
async fn until(world: &World, id: ClientId, requests: i64) -> anyhow::Result<Usage> {
    let deadline = Instant::now() + ROUND + SLACK;
    let mut round = tokio::time::interval(Duration::from_millis(100));
    loop {
        round.tick().await;
        let total = total(world, id).await?;
        if total.requests >= requests {
            return Ok(total);
        }
        ensure!(Instant::now() < deadline, "{total:?} and not {requests} requests");
    }
}

async fn create(member: &Member, names: &str, count: usize) -> anyhow::Result<()> {
    for number in 0..count {
        member.create(lead_named(&format!("{names}{number}"))).await?;
    }
    Ok(())
}

pub async fn calls_are_counted_exactly_and_cost_what_the_prices_say(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    create(&member, "lead", 7).await?;
    is(member.create(lead_named("lead0")).await, ErrorReason::AlreadyExists)?;
    for _ in 0..3 {
        is(
            member.get(&uuid::Uuid::now_v7().to_string()).await,
            ErrorReason::NotFound,
        )?;
    }
    let long = |number| Lead {
        company: "x".repeat(200),
        ..lead_named(&format!("long{number}"))
    };
    let imported = member.import((0..150).map(long).collect()).await?;
    ensure!(imported.created == 150, "{imported:?}");

    let used = until(&world, member.id, 12).await?;
    ensure!((used.requests, used.errors, used.rows) == (12, 4, 157), "{used:?}");
    ensure!(used.bytes > 150 * 200, "the stream's bytes are not there: {used:?}");
    ensure!(used.database_micros > 0, "{used:?}");

    let report = report(&world, member.id).await?;
    let mut expected = 0;
    for day in &report.days {
        let used = day.usage.context("use")?;
        let list = report.price_lists.last().context("prices")?;
        for price in &list.prices {
            let count = match price.unit() {
                UsageUnit::Requests => used.requests - used.errors,
                UsageUnit::Rows => used.rows,
                UsageUnit::Bytes => used.bytes,
                UsageUnit::DatabaseMicros => used.database_micros,
                UsageUnit::Unspecified => anyhow::bail!("a price of nothing"),
            };
            expected += count * price.micros / price.units;
        }
    }
    let [cost] = &report.costs[..] else {
        anyhow::bail!("{:?}", report.costs);
    };
    let micros = cost.units * 1_000_000 + i64::from(cost.nanos) / 1000;
    // 157 rows at 100 millionths each are the largest part.
    ensure!(micros == expected && micros >= 15_700, "{micros} and not {expected}");
    ensure!(cost.currency_code == "USD", "{cost:?}");
    Ok(())
}

pub async fn a_tenant_sees_its_own_use_and_nobody_elses(world: Arc<World>) -> anyhow::Result<()> {
    let (a, b) = (world.member("basic").await?, world.member("basic").await?);
    create(&a, "lead", 3).await?;
    let before = until(&world, a.id, 3).await?;
    create(&b, "lead", 2).await?;
    until(&world, b.id, 2).await?;
    // Servers that only work for A write down its database time in rounds of their own.
    let calls = |used: Usage| (used.requests, used.errors, used.rows, used.bytes);
    let after = total(&world, a.id).await?;
    ensure!(calls(after) == calls(before), "what B did is on A's bill: {after:?}");

    let ask = async |member: &Member, client: &str| -> Result<Usage, Status> {
        let request: Request<_> = member.request(lately(client));
        let mut client = UsageServiceClient::new(world.stack.channel("quota", 0).expect("a channel"));
        let report = client.get_usage_report(request).await?.into_inner();
        report.total.ok_or_else(|| Status::data_loss("no total"))
    };
    for named in ["", &b.id.to_string()] {
        let own = ask(&b, named).await?;
        ensure!(own.rows == 2, "{own:?}");
    }
    is(ask(&b, &a.id.to_string()).await, ErrorReason::NotFound)?;
    is(ask(&b, &uuid::Uuid::now_v7().to_string()).await, ErrorReason::NotFound)?;
    let manager = Member::new(&world.stack, b.id, onekeel_tenancy::Role::Manager, 0)?;
    is(ask(&manager, "").await, ErrorReason::PermissionDenied)?;
    let nobody = world.as_platform(lately(&uuid::Uuid::now_v7().to_string()))?;
    is(reports(&world)?.get_usage_report(nobody).await, ErrorReason::NotFound)?;
    Ok(())
}

pub async fn a_period_that_is_none_is_refused_with_the_field_named(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let wish = GetUsageReportRequest {
        start_date: "2026-02-30".to_owned(),
        ..GetUsageReportRequest::default()
    };
    let refused = reports(&world)?.get_usage_report(member.request(wish)).await;
    let fault = is(refused, ErrorReason::InvalidArgument)?;
    let named: Vec<&str> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    ensure!(named == ["start_date", "end_date"], "{named:?}");
    Ok(())
}

pub async fn a_server_that_ends_in_order_loses_no_use(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::start(&Plan::default()).await?;
    let member = world.member("enterprise").await?;
    create(&member, "lead", 40).await?;
    ensure!(world.stack.server("lead", 0)?.stop().await?, "it did not end by itself");
    let used = total(&world, member.id).await?;
    ensure!((used.requests, used.errors, used.rows) == (40, 0, 40), "{used:?}");
    world.stop().await
}

pub async fn a_killed_server_loses_at_most_the_last_seconds(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::start(&Plan::default()).await?;
    let member = world.member("enterprise").await?;
    create(&member, "early", 20).await?;
    let (counted, began) = (until(&world, member.id, 20).await?, Instant::now());
    create(&member, "late", 15).await?;
    world.stack.server("lead", 0)?.kill_and_restart().await?;
    let exposed = began.elapsed();
    let member = Member::new(&world.stack, member.id, onekeel_tenancy::Role::Admin, 0)?;
    create(&member, "after", 5).await?;
    ensure!(world.stack.server("lead", 0)?.stop().await?, "it did not end by itself");
    let used = total(&world, member.id).await?;
    println!(
        "killed {exposed:.1?} after a round: {} of 40 requests are counted",
        used.requests
    );
    ensure!(counted.requests == 20, "{counted:?}");
    ensure!((25..=40).contains(&used.requests), "{used:?}");
    ensure!(used.errors == 0 && used.rows == used.requests, "{used:?}");
    world.stop().await
}

pub async fn use_waits_for_a_database_that_is_away(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default()).await?;
    let member = world.member("enterprise").await?;
    create(&member, "lead", 5).await?;
    until(&world, member.id, 5).await?;
    world
        .backing
        .postgres()
        .context("a private PostgreSQL")?
        .end(Ending::Fast)
        .await?;
    for _ in 0..3 {
        let refused = member.get(&uuid::Uuid::now_v7().to_string()).await;
        ensure!(refused.is_err(), "it was read without a database");
    }
    let log = world.stack.server("lead", 0)?.log().to_owned();
    let deadline = Instant::now() + ROUND * 3 + SLACK;
    let mut round = tokio::time::interval(Duration::from_millis(100));
    while !std::fs::read_to_string(&log)?.contains("could not be written down") {
        round.tick().await;
        ensure!(Instant::now() < deadline, "no round failed: nothing was tested");
    }
    let postgres = world.backing.postgres().context("a private PostgreSQL")?;
    postgres.restart().await?;
    let world = Arc::new(world);
    let deadline = Instant::now() + ROUND + SLACK;
    // The quota server's own connections died as well, and a look may meet one of them.
    let used = loop {
        match until(&world, member.id, 8).await {
            Ok(used) => break used,
            Err(error) => ensure!(Instant::now() < deadline, "{error:#}"),
        }
        round.tick().await;
    };
    ensure!((used.requests, used.errors, used.rows) == (8, 3, 5), "{used:?}");
    let world = Arc::try_unwrap(world).map_err(|_| anyhow::anyhow!("still in use"))?;
    world.stop().await
}

pub async fn the_command_prints_columns_json_and_csv(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    create(&member, "lead", 2).await?;
    until(&world, member.id, 2).await?;
    let (tenant, wish) = (member.id.to_string(), lately(""));
    let address = format!("http://{}", world.stack.address("quota", 0)?);
    let token = world.stack.token(None, onekeel_tenancy::Role::PlatformViewer)?;
    let usage = async |format: &str, from: &str, token: &str| -> anyhow::Result<Ran> {
        let to = &wish.end_date;
        let line = [
            "usage", "--tenant", &tenant, "--from", from, "--to", to, "--format", format,
        ];
        run(onekeel(&line)?.env("QUOTA_ADDR", &address).env("ONEKEEL_TOKEN", token)).await
    };
    let read = async || -> anyhow::Result<Value> {
        let json = usage("json", &wish.start_date, &token).await?;
        serde_json::from_str(&json.out).with_context(|| json.err)
    };
    // Servers write down database time in rounds of their own: the same twice, and nothing came between.
    let (mut report, mut csv) = (read().await?, String::new());
    for _ in 0..10 {
        csv = usage("csv", &wish.start_date, &token).await?.out;
        let before = std::mem::replace(&mut report, read().await?);
        if before == report {
            break;
        }
    }
    ensure!(report["tenant"] == tenant.as_str(), "{report}");
    ensure!(
        report["total"]["requests"] == 2 && report["total"]["rows"] == 2,
        "{report}"
    );
    let day = &report["days"][0];
    let line = csv.lines().nth(1).context("a day")?;
    let expected = format!(
        "{},2,0,2,{},{},{},USD",
        day["date"].as_str().context("a date")?,
        day["bytes"],
        day["database_micros"],
        day["cost"].as_str().context("a cost")?
    );
    ensure!(line == expected, "{line} and not {expected}");
    let table = usage("table", &wish.start_date, &token).await?.out;
    ensure!(table.starts_with("date ") && table.contains("\ntotal "), "{table}");

    for (from, token, code, said) in [
        ("yesterday", token.as_str(), 2, "--from: must be a day"),
        (wish.start_date.as_str(), "x.y.z", 1, "UNAUTHENTICATED"),
        (wish.start_date.as_str(), "", 2, "ONEKEEL_TOKEN"),
    ] {
        let ran = usage("json", from, token).await?;
        ensure!(
            ran.code == Some(code) && ran.err.contains(said),
            "{:?}: {}",
            ran.code,
            ran.err
        );
        ensure!(ran.out.is_empty(), "{}", ran.out);
    }
    Ok(())
}

pub async fn prices_are_published_for_days_to_come_and_never_change(world: Arc<World>) -> anyhow::Result<()> {
    let today = Utc::now().date_naive();
    let list = |start: chrono::NaiveDate, micros: i64| PublishPriceListRequest {
        price_list: Some(PriceList {
            start_date: start.to_string(),
            currency_code: "CHF".to_owned(),
            prices: vec![Price {
                unit: UsageUnit::Requests.into(),
                micros,
                units: 10,
            }],
        }),
    };
    let mut lists = reports(&world)?;
    // Far away: other tests look at the prices of these days.
    let start = today + Days::new(50_000);
    let published = lists
        .publish_price_list(world.as_platform(list(start, 7))?)
        .await?
        .into_inner();
    ensure!(Some(&published) == list(start, 7).price_list.as_ref(), "{published:?}");
    let again = lists
        .publish_price_list(world.as_platform(list(start, 7))?)
        .await?
        .into_inner();
    ensure!(again == published, "a repetition finds what the first try wrote");
    is(
        lists.publish_price_list(world.as_platform(list(start, 8))?).await,
        ErrorReason::AlreadyExists,
    )?;
    is(
        lists.publish_price_list(world.as_platform(list(today, 8))?).await,
        ErrorReason::InvalidArgument,
    )?;
    let all = lists
        .list_price_lists(world.as_platform(ListPriceListsRequest {})?)
        .await?;
    let all = all.into_inner().price_lists;
    ensure!(all.contains(&published), "{all:?}");
    ensure!(
        all.is_sorted_by(|one, next| one.start_date.len() > next.start_date.len() || one.start_date > next.start_date),
        "{all:?}"
    );
    Ok(())
}
