//! Every method of the contract that changes something for somebody leaves one event when it succeeds, and none when it
//! does not. Which methods those are, the contract says.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::Audience;
use onekeel_tenancy::Role;
use onekeel_tests::{Method, World, contract};
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

use crate::requests::request;
use crate::things::Things;

/// Calls a method in a trace of its own; returns the answer, and the methods of the events with that trace, in whatever
/// tenant they are.
async fn traced(
    world: &World,
    method: &Method,
    token: &str,
    request: &Value,
) -> anyhow::Result<(Result<Value, Status>, Vec<String>)> {
    let trace = Uuid::now_v7();
    let parent = format!("00-{}-00f067aa0ba902b7-00", trace.simple());
    let answer = method
        .call_with(&world.stack, token, &[("traceparent", &parent)], request)
        .await?;
    let events = sqlx::query_scalar("select method from audit.events where trace_id = $1").bind(trace);
    Ok((answer, events.fetch_all(&world.behind).await?))
}

pub async fn every_change_leaves_one_event_and_every_refusal_none(world: Arc<World>) -> anyhow::Result<()> {
    let methods = Arc::new(contract()?);
    let mut things = Things::of_new_tenant(&world, &methods).await?;
    let mut audited = 0;
    for method in methods.iter() {
        let name = method.name();
        things.renew().await.with_context(|| name.clone())?;
        things.name_tenant(&method.policy.audiences).await?;
        let request = things.own(&request(&name).with_context(|| format!("no request for {name}"))?)?;
        let (token, viewer) = if method.policy.audiences.contains(&Audience::Tenant) {
            (
                things.admin_token()?,
                world.stack.token(Some(things.client), Role::Viewer)?,
            )
        } else if method.policy.audiences.contains(&Audience::Platform) {
            (things.platform_token()?, world.stack.token(None, Role::PlatformViewer)?)
        } else {
            (things.service_token(&method.policy)?, things.admin_token()?)
        };
        let expected = if method.policy.is_audited() {
            vec![name.clone()]
        } else {
            vec![]
        };
        audited += expected.len();
        if method.policy.writes {
            let (refused, events) = traced(&world, method, &viewer, &request).await?;
            ensure!(
                refused.is_err() && events.is_empty(),
                "{name}: {refused:?} left {events:?}"
            );
            let (refused, events) = traced(&world, method, &token, &json!({})).await?;
            ensure!(
                refused.is_ok() || events.is_empty(),
                "{name}: {refused:?} left {events:?}"
            );
        }
        let (answer, events) = traced(&world, method, &token, &request).await?;
        answer.with_context(|| format!("{name} {request}"))?;
        ensure!(events == expected, "{name} left {events:?} and not {expected:?}");
    }
    ensure!(audited > 25, "only {audited} methods are audited");
    println!("{audited} of {} methods leave their event", methods.len());
    Ok(())
}
