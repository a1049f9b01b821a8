//! Spans, as a collector gets them.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::lead::{CountLeadsRequest, CreateLeadRequest};
use onekeel_operator::private::free_port;
use onekeel_operator::stack::Plan;
use onekeel_operator::trace::{Kind, Receiver, Span, is_complete};
use onekeel_tests::{Member, World, is, lead_named};
use tonic::Request;

use crate::collector::Collector;

const LONGEST_WAY: Duration = Duration::from_secs(30);
const PARENT: &str = "00f067aa0ba902b7";

fn plan(endpoint: &str) -> Plan {
    Plan::default()
        .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with_env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .with_env("TRACE_SAMPLE_RATIO", "0")
}

fn new_trace() -> String {
    format!("{:032x}", uuid::Uuid::new_v4().as_u128())
}

/// A request that belongs to a sampled trace of its caller.
fn sampled<T>(member: &Member, message: T, trace: &str) -> anyhow::Result<Request<T>> {
    let mut request = member.request(message);
    let parent = format!("00-{trace}-{PARENT}-01");
    request.metadata_mut().insert("traceparent", parent.parse()?);
    request.metadata_mut().insert("tracestate", "vendor=blue".parse()?);
    Ok(request)
}

/// Waits until a trace has arrived with all its spans.
async fn arrived(receiver: &Receiver, trace: &str) -> anyhow::Result<Vec<Span>> {
    let deadline = tokio::time::Instant::now() + LONGEST_WAY;
    let mut round = tokio::time::interval(Duration::from_millis(50));
    loop {
        round.tick().await;
        let spans = receiver.trace(trace);
        if is_complete(&spans, PARENT) {
            return Ok(spans);
        }
        ensure!(tokio::time::Instant::now() < deadline, "incomplete: {spans:#?}");
    }
}

/// The only span of a trace that fits.
fn only<'a>(spans: &'a [Span], what: &str, fits: impl Fn(&Span) -> bool) -> anyhow::Result<&'a Span> {
    let found: Vec<_> = spans.iter().filter(|span| fits(span)).collect();
    match found[..] {
        [one] => Ok(one),
        _ => anyhow::bail!("{} spans for {what} in {spans:#?}", found.len()),
    }
}

/// Whether `span` is `above`, or lies below it.
fn lies_below(spans: &[Span], span: &Span, above: &Span) -> bool {
    let parent = spans.iter().find(|other| other.span_id == span.parent);
    span.span_id == above.span_id || parent.is_some_and(|parent| lies_below(spans, parent, above))
}

pub async fn one_trace_shows_the_whole_way_of_a_creation(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let collector = Collector::start().await?;
    let world = World::start(&plan(&collector.endpoint())).await?;
    let member = world.member("basic").await?;
    let trace = new_trace();
    let wish = CreateLeadRequest {
        lead: Some(lead_named("ann")),
        request_id: String::new(),
    };
    member.leads().create_lead(sampled(&member, wish, &trace)?).await?;
    let spans = arrived(&collector.receiver, &trace).await?;

    let serves = |service: &'static str, method: &'static str| {
        move |span: &Span| span.service == service && span.kind == Kind::Server && span.name == method
    };
    let create = only(
        &spans,
        "CreateLead",
        serves("onekeel-lead", "onekeel.lead.v1.LeadService/CreateLead"),
    )?;
    ensure!(create.parent == PARENT && create.state == "vendor=blue", "{create:?}");
    let tenant = member.id.to_string();
    for (name, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "onekeel.lead.v1.LeadService/CreateLead"),
        ("tenant.id", tenant.as_str()),
    ] {
        ensure!(
            create.attribute(name) == value,
            "{name} is {:?}",
            create.attribute(name)
        );
    }
    // A lead takes units of two limits, itself and its bytes, and asks for both at once.
    for (method, times) in [
        ("onekeel.quota.v1.QuotaService/Reserve", 1),
        ("onekeel.quota.v1.QuotaService/AcquireAllowance", 1),
    ] {
        let calls = |span: &&Span| span.service == "onekeel-lead" && span.is_call() && span.name == method;
        let calls: Vec<_> = spans.iter().filter(calls).collect();
        ensure!(calls.len() == times, "{} calls of {method} in {spans:#?}", calls.len());
        for call in calls {
            ensure!(lies_below(&spans, call, create), "{method} is not called by CreateLead");
            let answers = serves("onekeel-quota", method);
            let answer = only(&spans, method, |span| answers(span) && span.parent == call.span_id)?;
            ensure!(answer.attribute("tenant.id") == tenant, "{answer:?}");
            let below = |span: &&Span| span.span_id != answer.span_id && lies_below(&spans, span, answer);
            let system = |name: &str| {
                spans
                    .iter()
                    .filter(below)
                    .any(|span| span.attribute("db.system.name") == name)
            };
            ensure!(system("postgresql"), "{method} shows no SQL");
            ensure!(system("redis") == method.ends_with("Allowance"), "{method} and Redis");
        }
    }
    let insert = only(&spans, "the insert", |span| {
        span.service == "onekeel-lead" && span.attribute("db.query.summary").contains("INSERT lead.leads")
    })?;
    ensure!(
        lies_below(&spans, insert, create) && insert.kind == Kind::Client,
        "{insert:?}"
    );
    ensure!(spans.iter().all(|span| !span.failed), "a span failed: {spans:#?}");
    let told = format!("{spans:?}");
    ensure!(!told.contains("ann@example.com"), "a value of the lead is in a span");
    println!("{} spans of one CreateLead at a real collector", spans.len());
    world.stop().await
}

pub async fn a_collector_that_comes_back_gets_spans_again(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut collector = Collector::start().await?;
    let world = World::start(&plan(&collector.endpoint())).await?;
    let member = world.member("enterprise").await?;
    let count = async |trace: &str| {
        let request = sampled(&member, CountLeadsRequest {}, trace)?;
        member
            .leads()
            .count_leads(request)
            .await
            .context("a call while the collector is away")
    };
    collector.kill().await?;
    for _ in 0..20 {
        count(&new_trace()).await?;
    }
    collector.start_again().await?;
    let deadline = tokio::time::Instant::now() + LONGEST_WAY;
    let mut round = tokio::time::interval(Duration::from_millis(200));
    loop {
        round.tick().await;
        let trace = new_trace();
        count(&trace).await?;
        // Spans of the time in between may be lost; those that come now must not be for ever.
        let waited = tokio::time::timeout(Duration::from_secs(2), arrived(&collector.receiver, &trace)).await;
        if matches!(waited, Ok(Ok(_))) {
            break;
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "no spans came after the collector did"
        );
    }
    world.stop().await
}

pub async fn calls_that_are_not_sampled_send_nothing(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let receiver = Receiver::start().await?;
    let world = World::start(&plan(&receiver.endpoint())).await?;
    let member = world.member("enterprise").await?;
    for number in 0..20 {
        member.create(lead_named(&format!("lead{number}"))).await?;
    }
    // Spans are sent in order: when a later one has come, earlier ones would have.
    let trace = new_trace();
    let request = sampled(&member, CountLeadsRequest {}, &trace)?;
    member.leads().count_leads(request).await?;
    arrived(&receiver, &trace).await?;
    let others = receiver.all(|span| span.trace_id != trace);
    ensure!(others.is_empty(), "{others:#?}");
    world.stop().await
}

pub async fn a_call_that_fails_by_a_fault_of_the_suite_has_a_span_all_the_same(
    suite: Arc<World>,
) -> anyhow::Result<()> {
    drop(suite);
    let receiver = Receiver::start().await?;
    let mut world = World::start(&plan(&receiver.endpoint())).await?;
    let member = world.member("enterprise").await?;
    member.create(lead_named("ann")).await?;
    world.settle(member.id).await?;
    world.stack.server("quota", 0)?.process().kill().await?;
    let trace = new_trace();
    let mut request = member.request(CreateLeadRequest {
        lead: Some(lead_named("bob")),
        request_id: String::new(),
    });
    let parent = format!("00-{trace}-{PARENT}-00");
    request.metadata_mut().insert("traceparent", parent.parse()?);
    is(member.leads().create_lead(request).await, ErrorReason::Unavailable)?;
    let spans = arrived(&receiver, &trace).await?;
    let span = only(&spans, "the refused call", |span| span.parent == PARENT)?;
    ensure!(
        span.failed && span.attribute("error.reason") == "UNAVAILABLE" && span.end > span.start,
        "{span:?}"
    );
    ensure!(span.attribute("tenant.id") == member.id.to_string(), "{span:?}");
    world.stop().await
}

pub async fn a_collector_that_is_away_holds_nothing_up(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    let world = World::start(&plan(&nobody)).await?;
    let member = world.member("enterprise").await?;
    for _ in 0..50 {
        let mut request = sampled(&member, CountLeadsRequest {}, &new_trace())?;
        request.set_timeout(Duration::from_secs(2));
        member
            .leads()
            .count_leads(request)
            .await
            .context("a call without a collector")?;
    }
    // The servers end in order as well: what cannot be sent is given up.
    world.stop().await
}
