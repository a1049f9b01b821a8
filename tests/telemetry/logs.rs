//! Log lines as machines read them.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_tenancy::Role;
use onekeel_tests::{World, is, lead_named};
use serde_json::Value;
use tonic_types::StatusExt;

pub async fn a_refused_call_is_one_line_with_the_trace_its_caller_got(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    member.create(lead_named("whisper-quietly")).await?;
    let refused = member.create(lead_named("whisper-quietly")).await;
    let status = refused.clone().err().context("the same lead twice")?;
    is(refused, ErrorReason::AlreadyExists)?;
    let trace_id = status
        .get_details_request_info()
        .map(|info| info.request_id)
        .context("a trace id")?;
    let read = |service: &str| std::fs::read_to_string(world.stack.folder().join(format!("{service}-0.log")));
    let text = read("lead")?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["trace_id"] == trace_id.as_str()).collect();
    ensure!(lines.len() == 1, "{lines:?} in {text}");
    let line = &lines[0];
    ensure!(
        line["error.reason"] == "ALREADY_EXISTS" && line["rpc.method"] == "onekeel.lead.v1.LeadService/CreateLead",
        "{line}"
    );
    ensure!(line["tenant.id"] == member.id.to_string(), "{line}");
    ensure!(line["span_id"].as_str().is_some_and(|id| id.len() == 16), "{line}");
    let token = world.stack.token(Some(member.id), Role::Admin)?;
    let signature = token.rsplit('.').next().context("a token")?;
    for service in ["lead", "quota", "tenant"] {
        let text = read(service)?;
        for secret in [
            "whisper-quietly",
            signature,
            "Bearer ",
            "eyJ",
            world.stack.secrets.jwt.as_str(),
        ] {
            ensure!(!text.contains(secret), "{service} logs {secret}");
        }
    }
    Ok(())
}
