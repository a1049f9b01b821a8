//! `onekeel dev --trace`: one CreateLead, and its journey as the servers' own spans tell it.
use std::time::Duration;

use anyhow::{Context, bail};
use onekeel_api::ClientId;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CreateLeadRequest, Lead};
use onekeel_api::trace::{TraceContext, TraceId};
use onekeel_operator::stack::{Plan, Stack};
use onekeel_operator::trace::{Receiver, Tree};
use onekeel_tenancy::Role;
use uuid::Uuid;

use super::calls::with_token;

/// Servers that send to us send soon.
const SEND_EVERY: Duration = Duration::from_millis(100);
const LONGEST_JOURNEY: Duration = Duration::from_secs(20);
const ROUND: Duration = Duration::from_millis(20);

/// Lets the servers of `plan` send their spans to `receiver`, of the calls that ask for it and of no others.
pub(super) fn traced(plan: Plan, receiver: &Receiver) -> Plan {
    plan.with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint())
        .with_env("OTEL_BSP_SCHEDULE_DELAY", &SEND_EVERY.as_millis().to_string())
        .with_env("TRACE_SAMPLE_RATIO", "0")
}

/// Creates a lead in a trace of its own, waits for all of it, and prints it.
pub(super) async fn show(stack: &Stack, receiver: &Receiver, client: ClientId) -> anyhow::Result<()> {
    let ours = Uuid::new_v4().as_u128();
    let context = TraceContext {
        trace_id: TraceId(ours),
        span_id: u64::try_from(ours >> 64)?,
        sampled: true,
    };
    let lead = Lead {
        first_name: "Ann".to_owned(),
        email: "ann@example.com".to_owned(),
        ..Lead::default()
    };
    let wish = CreateLeadRequest {
        lead: Some(lead),
        request_id: String::new(),
    };
    let mut request = with_token(wish, &stack.token(Some(client), Role::Agent)?)?;
    request
        .metadata_mut()
        .insert("traceparent", context.to_string().parse()?);
    let mut leads = LeadServiceClient::new(stack.channel("lead", 0)?);
    leads.create_lead(request).await.context("CreateLead")?;

    let (trace_id, caller) = (context.trace_id.to_string(), format!("{:016x}", context.span_id));
    let deadline = tokio::time::Instant::now() + LONGEST_JOURNEY;
    let mut round = tokio::time::interval(ROUND);
    loop {
        round.tick().await;
        let spans = receiver.trace(&trace_id);
        if let Some(tree) = Tree::of(&spans, &caller) {
            println!("CreateLead, {tree}");
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            bail!(
                "{} spans of trace {trace_id} came within {LONGEST_JOURNEY:?}, and some are missing; see the logs in {}",
                spans.len(),
                stack.folder().display()
            );
        }
    }
}
