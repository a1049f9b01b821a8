//! `/metrics`, as Prometheus reads it.
use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_telemetry::catalogue;
use onekeel_tests::{World, is, lead_named, scrape, values};

async fn scrape_server(world: &World, service: &str) -> anyhow::Result<String> {
    let server = world.stack.servers().find(|server| server.service() == service);
    scrape(&server.context("no such server")?.metrics_address()).await
}

/// The value of the only series of a metric that has all these labels.
fn value(text: &str, metric: &str, labels: &[&str]) -> anyhow::Result<f64> {
    let found = values(text, metric, labels);
    let [value] = found[..] else {
        anyhow::bail!("{} series of {metric} with {labels:?} in\n{text}", found.len());
    };
    Ok(value)
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
