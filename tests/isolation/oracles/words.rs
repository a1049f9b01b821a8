//! Words: what tenants write stays in their rows. Logs and metrics are read by people who may not see it.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::Audience;
use onekeel_tests::{World, contract, scrape};
use serde_json::{Value, json};

use crate::requests::request;
use crate::things::Things;

/// What every secret of an API key begins with.
const SECRET: &str = "okl_";
const LONGEST_WRITE: Duration = Duration::from_secs(10);

pub async fn no_log_line_and_no_metric_holds_what_tenants_wrote(world: Arc<World>) -> anyhow::Result<()> {
    let methods = Arc::new(contract()?);
    let mut tenant = Things::of_new_tenant(&world, &methods).await?;
    tenant.renew().await?;
    tenant.name_tenant(&[Audience::Tenant]).await?;
    let token = tenant.admin_token()?;
    for method in methods.iter() {
        let template = request(&method.name()).with_context(|| method.name())?;
        let audiences = &method.policy.audiences;
        if audiences.contains(&Audience::Tenant) || audiences.contains(&Audience::Public) {
            let _answer = method.call(&world.stack, &token, &tenant.own(&template)?).await?;
        }
        // The tenant's word in every place of the request, in the token, and in headers.
        let wrong = with_word_everywhere(&template, &tenant.marker);
        for (token, headers) in [
            (token.as_str(), &[("x-request-id", tenant.marker.as_str())][..]),
            (tenant.marker.as_str(), &[("user-agent", tenant.marker.as_str())][..]),
            (
                "",
                &[
                    ("x-onekeel-reason", tenant.marker.as_str()),
                    ("x-onekeel-client-id", tenant.marker.as_str()),
                ][..],
            ),
        ] {
            // Some are no messages of this method at all.
            let _answer = method.call_with(&world.stack, token, headers, &wrong).await;
        }
    }
    let last = uuid::Uuid::new_v4().to_string();
    tell_every_log(&world, &last).await?;
    for server in world.stack.servers() {
        let log = std::fs::read_to_string(server.log())?;
        let told = |line: &&str| line.contains(&tenant.marker) || line.contains(SECRET);
        let line = log.lines().find(told);
        ensure!(
            line.is_none(),
            "{} logs what a tenant wrote: {line:?}",
            server.service()
        );
        let page = scrape(&server.metrics_address()).await?;
        ensure!(
            page.contains("onekeel_rpc_requests_total"),
            "{} shows no metrics",
            server.service()
        );
        let line = page.lines().find(told);
        ensure!(
            line.is_none(),
            "{} has a metric with what a tenant wrote: {line:?}",
            server.service()
        );
    }
    Ok(())
}

fn with_word_everywhere(request: &Value, word: &str) -> Value {
    match request {
        Value::String(_) => word.into(),
        Value::Array(values) => values.iter().map(|value| with_word_everywhere(value, word)).collect(),
        Value::Object(fields) => {
            let filled = fields
                .iter()
                .map(|(name, value)| (name.clone(), with_word_everywhere(value, word)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

/// Logs are written by a thread of their own, and a second has only so many lines of refused calls: waits until each
/// server has logged one of ours.
async fn tell_every_log(world: &World, trace: &str) -> anyhow::Result<()> {
    let trace = trace.replace('-', "");
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let methods = contract()?;
    let deadline = tokio::time::Instant::now() + LONGEST_WRITE;
    let mut round = tokio::time::interval(Duration::from_millis(100));
    for server in world.stack.servers() {
        let method = methods.iter().find(|method| method.server() == server.service());
        let method = method.with_context(|| format!("{} has no method", server.service()))?;
        while !std::fs::read_to_string(server.log())?.contains(&trace) {
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{} does not log a refused call",
                server.service()
            );
            let headers = [("traceparent", parent.as_str())];
            let _refused = method.call_with(&world.stack, "", &headers, &json!({})).await;
            round.tick().await;
        }
    }
    Ok(())
}
