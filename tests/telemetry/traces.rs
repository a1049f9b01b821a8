//! Traces as a collector receives them.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::lead::CreateLeadRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_operator::stack::Plan;
use onekeel_operator::trace::{Kind, Receiver, Span, is_complete};
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, lead_named};
use tokio::process::Command;
use tonic::{Request, Status};

use crate::collector::Collector;

const LONGEST_WAIT: Duration = Duration::from_secs(30);
const CALLER: &str = "00f067aa0ba902b7";

/// Servers that record every call nobody decided about, and send to `endpoint`.
fn traced(endpoint: &str) -> Plan {
    Plan::default()
        .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with_env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .with_env("TRACE_SAMPLE_RATIO", "1")
}

/// CreateLead in a trace that the caller began; returns the trace's id.
async fn create(world: &World, member: &Member, name: &str, flags: &str) -> anyhow::Result<String> {
    let (trace_id, answer) = try_create(world, member, name, flags).await?;
    answer?;
    Ok(trace_id)
}

async fn try_create(
    world: &World,
    member: &Member,
    name: &str,
    flags: &str,
) -> anyhow::Result<(String, Result<(), Status>)> {
    let trace_id = uuid::Uuid::new_v4().simple().to_string();
    let mut request = Request::new(CreateLeadRequest {
        lead: Some(lead_named(name)),
        request_id: String::new(),
    });
    let token = world.stack.token(Some(member.id), Role::Admin)?;
    let headers = request.metadata_mut();
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    headers.insert("traceparent", format!("00-{trace_id}-{CALLER}-{flags}").parse()?);
    headers.insert("tracestate", "vendor=kept".parse()?);
    let answer = LeadServiceClient::new(world.stack.channel("lead", 0)?)
        .create_lead(request)
        .await;
    Ok((trace_id, answer.map(drop)))
}

/// The spans of a trace when nothing is missing any more.
async fn complete(receiver: &Receiver, trace_id: &str) -> anyhow::Result<Vec<Span>> {
    let deadline = Instant::now() + LONGEST_WAIT;
    let mut round = tokio::time::interval(Duration::from_millis(20));
    loop {
        round.tick().await;
        let spans = receiver.trace(trace_id);
        if is_complete(&spans) {
            return Ok(spans);
        }
        ensure!(Instant::now() < deadline, "not complete: {spans:#?}");
    }
}

/// The only span below `parent` with this kind and name.
fn below<'a>(spans: &'a [Span], parent: &str, kind: Kind, name: &str) -> anyhow::Result<&'a Span> {
    let fit = |span: &&Span| span.parent == parent && span.kind == kind && span.name == name;
    let found: Vec<&Span> = spans.iter().filter(fit).collect();
    ensure!(
        found.len() == 1,
        "{} spans {name} below {parent}: {spans:#?}",
        found.len()
    );
    Ok(found[0])
}

/// What a call to QuotaService did there: the client's span, and the server's below it.
fn called<'a>(spans: &'a [Span], parent: &str, method: &str, tenant: &str) -> anyhow::Result<&'a Span> {
    let client = below(spans, parent, Kind::Client, method)?;
    ensure!(
        client.service == "onekeel-lead" && !client.attribute("server.port").is_empty(),
        "{client:?}"
    );
    let server = below(spans, &client.span_id, Kind::Server, method)?;
    ensure!(server.service == "onekeel-quota", "{server:?}");
    ensure!(server.attribute("tenant.id") == tenant, "{server:?}");
    Ok(server)
}

pub async fn a_creation_is_one_trace_over_three_servers(suite: Arc<World>) -> anyhow::Result<()> {
    let receiver = Receiver::start().await?;
    let collector = Collector::start(&receiver, suite.stack.folder()).await?;
    let mut world = World::start(&traced(&collector.endpoint())).await?;
    let member = world.member("basic").await?;
    let unsampled = create(&world, &member, "nobody-sees", "00").await?;
    // Its lease goes back first, so that the next creation reserves again.
    world.settle(member.id).await?;
    let trace_id = create(&world, &member, "secret-name", "01").await?;
    let spans = complete(&receiver, &trace_id).await?;
    let tenant = member.id.to_string();

    let root = below(&spans, CALLER, Kind::Server, "onekeel.lead.v1.LeadService/CreateLead")?;
    ensure!(
        root.service == "onekeel-lead" && root.attribute("tenant.id") == tenant && root.state == "vendor=kept",
        "{root:?}"
    );
    ensure!(root.attribute("rpc.response.status_code") == "OK", "{root:?}");
    let admission = below(&spans, &root.span_id, Kind::Internal, "admission")?;
    let allowance = "onekeel.quota.v1.QuotaService/AcquireAllowance";
    let allowance = called(&spans, &admission.span_id, allowance, &tenant)?;
    let script = below(&spans, &allowance.span_id, Kind::Client, "EVALSHA allowance.lua")?;
    ensure!(script.attribute("db.system.name") == "redis", "{script:?}");
    let reserve = called(&spans, &root.span_id, "onekeel.quota.v1.QuotaService/Reserve", &tenant)?;
    ensure!(reserve.state == "vendor=kept", "{reserve:?}");
    let granted = below(&spans, &reserve.span_id, Kind::Internal, "reserve")?;
    below(&spans, &granted.span_id, Kind::Client, "INSERT quota.reservations")?;
    let written = below(&spans, &root.span_id, Kind::Internal, "create_lead")?;
    for name in ["BEGIN", "INSERT lead.leads INSERT quota.charges", "COMMIT"] {
        let statement = below(&spans, &written.span_id, Kind::Client, name)?;
        ensure!(
            statement.attribute("db.system.name") == "postgresql"
                && statement.attribute("db.namespace").starts_with("onekeel_")
                && !statement.attribute("server.address").is_empty(),
            "{statement:?}"
        );
    }
    ensure!(!format!("{spans:?}").contains("secret-name"), "a span shows a value");

    ensure!(receiver.trace(&unsampled).is_empty(), "an unsampled call sent spans");
    let uncalled = receiver.all(|span| span.parent.is_empty() && span.kind != Kind::Server);
    ensure!(uncalled.is_empty(), "background work began traces: {uncalled:?}");
    let given_back = receiver.all(|span| span.name.ends_with("ReleaseReservation"));
    ensure!(given_back.is_empty(), "background calls began traces: {given_back:?}");

    // Nobody asked for this call's trace, but it fails because of a server: it gets one span after all.
    world.settle(member.id).await?;
    world.stack.server("quota", 0)?.process().kill().await?;
    let (trace_id, answer) = try_create(&world, &member, "in-vain", "00").await?;
    let code = answer.err().map(|status| status.code());
    ensure!(code == Some(tonic::Code::Unavailable), "{code:?}");
    let late = complete(&receiver, &trace_id).await?;
    let late = below(&late, CALLER, Kind::Server, "onekeel.lead.v1.LeadService/CreateLead")?;
    ensure!(
        late.failed && late.attribute("error.reason") == "UNAVAILABLE" && late.end > late.start,
        "{late:?}"
    );
    ensure!(late.attribute("tenant.id") == tenant, "{late:?}");
    world.stack.server("quota", 0)?.kill_and_restart().await?;
    world.stop().await
}

pub async fn a_collector_that_is_away_costs_only_spans(suite: Arc<World>) -> anyhow::Result<()> {
    let receiver = Receiver::start().await?;
    let mut collector = Collector::start(&receiver, suite.stack.folder()).await?;
    let mut world = World::start(&traced(&collector.endpoint())).await?;
    let member = world.member("enterprise").await?;
    complete(&receiver, &create(&world, &member, "before", "01").await?).await?;
    collector.kill().await?;
    for call in 0..50 {
        let began = Instant::now();
        create(&world, &member, &format!("away-{call}"), "01").await?;
        ensure!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    collector.restart().await?;
    // What was sent meanwhile is lost; what comes now arrives again.
    let deadline = Instant::now() + LONGEST_WAIT;
    let mut round = tokio::time::interval(Duration::from_millis(500));
    for call in 0.. {
        round.tick().await;
        let trace_id = create(&world, &member, &format!("after-{call}"), "01").await?;
        let waited = tokio::time::timeout(Duration::from_secs(2), complete(&receiver, &trace_id)).await;
        if matches!(waited, Ok(Ok(_))) {
            break;
        }
        ensure!(Instant::now() < deadline, "no spans after the collector's return");
    }
    collector.kill().await?;
    let began = Instant::now();
    ensure!(world.stack.server("lead", 0)?.stop().await?, "not by itself");
    ensure!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    world.stop().await
}

pub async fn dev_shows_the_journey_of_a_creation(world: Arc<World>) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let folder = own
        .ancestors()
        .nth(2)
        .context("a test lies two folders below the target")?;
    let program: PathBuf = folder.join("onekeel");
    let mut command = Command::new(program);
    command
        .args(["dev", "--trace", "--once"])
        .env("DATABASE_URL", &world.backing.database_url)
        .env("REDIS_URL", &world.backing.redis_url)
        .env_remove("CARGO")
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{errors}");
    for line in [
        "lead    LeadService/CreateLead",
        "lead    ├─ admission",
        "lead    │  ├─ → TenantService/GetTenantContext",
        "tenant  │  │  └─ TenantService/GetTenantContext",
        "EVALSHA allowance.lua",
        "quota   │  └─ QuotaService/Reserve",
        "INSERT lead.leads INSERT quota.charges",
        "└─ COMMIT",
    ] {
        ensure!(said.contains(line), "no {line:?} in\n{said}");
    }
    let columns = said.lines().filter(|line| line.contains(" ms"));
    let ends: std::collections::BTreeSet<_> = columns
        .skip(1)
        .filter_map(|line| {
            line.chars()
                .collect::<String>()
                .find(" ms")
                .map(|end| line[..end].chars().count())
        })
        .collect();
    ensure!(
        ends.len() == 1,
        "durations do not stand below one another: {ends:?}\n{said}"
    );
    Ok(())
}
