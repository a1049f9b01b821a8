//! `/metrics`, as Prometheus reads it.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_telemetry::catalogue;
use onekeel_tests::{World, is, lead_named};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LONGEST_SCRAPE: Duration = Duration::from_secs(5);

async fn scrape(address: &str) -> anyhow::Result<String> {
    let read = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(LONGEST_SCRAPE, read).await??;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

async fn scrape_server(world: &World, service: &str) -> anyhow::Result<String> {
    let server = world.stack.servers().find(|server| server.service() == service);
    scrape(&server.context("no such server")?.metrics_address()).await
}

/// The value of the only series of a metric that has all these labels.
fn value(text: &str, metric: &str, labels: &[&str]) -> anyhow::Result<f64> {
    let fits =
        |line: &&str| line.split(['{', ' ']).next() == Some(metric) && labels.iter().all(|label| line.contains(label));
    let found: Vec<_> = text.lines().filter(fits).collect();
    let [line] = found[..] else {
        anyhow::bail!("{} series of {metric} with {labels:?} in\n{text}", found.len());
    };
    Ok(line.rsplit(' ').next().context("a value")?.parse()?)
}

pub async fn calls_are_counted_and_timed_by_method_code_and_tenant(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    for name in ["ann", "bob", "carl"] {
        member.create(lead_named(name)).await?;
    }
    is(member.create(lead_named("ann")).await, ErrorReason::AlreadyExists)?;
    let text = scrape_server(&world, "lead").await?;
    let method = "method=\"onekeel.lead.v1.LeadService/CreateLead\"";
    let tenant = format!("tenant=\"{}\"", member.id);
    let count = |code: &str| value(&text, "onekeel_rpc_requests_total", &[method, code, &tenant]);
    ensure!((count("code=\"OK\"")? - 3.0).abs() < 0.5, "three were created");
    ensure!((count("code=\"ALREADY_EXISTS\"")? - 1.0).abs() < 0.5, "one was refused");
    let timed = value(&text, "onekeel_rpc_duration_seconds_count", &[method, "code=\"OK\""])?;
    ensure!(timed >= 3.0, "{timed} calls were timed");
    ensure!(
        value(&text, "onekeel_db_connections", &["state=\"open\""])? >= 1.0,
        "no connection is open"
    );
    Ok(())
}

pub async fn every_metric_that_is_shown_is_in_the_catalogue(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    member.create(lead_named("ann")).await?;
    let mut shown = BTreeSet::new();
    for server in world.stack.servers() {
        let text = scrape(&server.metrics_address()).await?;
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            shown.extend(line.split(' ').next().map(str::to_owned));
        }
        let helped = text.matches("# HELP ").count();
        ensure!(
            helped >= text.matches("# TYPE ").count(),
            "a metric without its meaning:\n{text}"
        );
    }
    ensure!(shown.len() > 20, "{shown:?}");
    let unknown: Vec<_> = shown.iter().filter(|name| catalogue::find(name).is_none()).collect();
    ensure!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
    Ok(())
}
