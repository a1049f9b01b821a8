//! `onekeel audit`
use clap::{Args, ValueEnum};
use onekeel_api::tenant::audit_service_client::AuditServiceClient;
use onekeel_api::tenant::{AuditEvent, ListAuditEventsRequest};
use onekeel_api::{ClientId, ErrorReason, Fault};
use serde::Serialize;
use tonic::Status;

use super::WrongUsage;
use super::remote::Remote;

/// Largest page of the API.
const PAGE: i32 = 1000;

/// Prints who did what in a tenant, newest first.
#[derive(Args)]
#[command(after_help = "Examples:
  export ONEKEEL_TOKEN=$(onekeel token --role platform_viewer)
  onekeel audit --server http://tenant:50051 --tenant 01a20b12-80ab-7463-a015-80e1156cec5e
  onekeel audit --tenant 01a20b12-80ab-7463-a015-80e1156cec5e --filter 'method = DeleteLead' --format csv > deleted.csv

What belongs to no tenant, plans for example, stands under 00000000-0000-0000-0000-000000000000.")]
pub struct Audit {
    /// The tenant's id.
    #[arg(long, value_name = "UUID")]
    tenant: String,
    /// Only events for which this is true, for example `caller = "ann" AND create_time >= "2026-11-01T00:00:00Z"`.
    #[arg(long, default_value = "")]
    filter: String,
    /// Most events.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    most: u32,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// TenantService, as `http://host:port` or `https://host:port`.
    #[arg(long, env = "TENANT_ADDR", value_name = "URL")]
    server: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each event, with a head.
    Csv,
    /// A JSON object in a line for each event.
    Json,
}

/// An event as it is printed.
#[derive(Serialize)]
struct Line {
    time: String,
    caller_kind: &'static str,
    caller: String,
    role: String,
    method: String,
    resource_type: String,
    resource_id: String,
    resource_count: i32,
    before_digest: String,
    after_digest: String,
    trace_id: String,
    source: String,
    reason: String,
    id: String,
}

impl From<AuditEvent> for Line {
    fn from(event: AuditEvent) -> Self {
        let kind = event.caller_kind().as_str_name();
        Self {
            time: event.create_time.unwrap_or_default().to_string(),
            caller_kind: kind.trim_start_matches("CALLER_KIND_"),
            caller: event.caller,
            role: event.role,
            method: event.method,
            resource_type: event.resource_type,
            resource_id: event.resource_id,
            resource_count: event.resource_count,
            before_digest: event.before_digest,
            after_digest: event.after_digest,
            trace_id: event.trace_id,
            source: event.source,
            reason: event.reason,
            id: event.id,
        }
    }
}

impl Audit {
    /// Prints each page before it asks for the next, so that a long trail needs no memory.
    pub async fn run(self) -> anyhow::Result<()> {
        let tenant = &self.tenant;
        ClientId::parse("--tenant", tenant).map_err(|_| WrongUsage(format!("--tenant {tenant}: must be a UUID")))?;
        let mut client = AuditServiceClient::new(self.remote.channel("--server", &self.server)?);
        let mut output = csv::Writer::from_writer(std::io::stdout());
        let (mut left, mut page_token) = (self.most, String::new());
        loop {
            let wish = ListAuditEventsRequest {
                client_id: tenant.clone(),
                page_size: i32::try_from(left).map_or(PAGE, |left| left.min(PAGE)),
                page_token,
                filter: self.filter.clone(),
            };
            let listed = client.list_audit_events(self.remote.request(wish)?).await;
            let page = listed.map_err(|status| explain(&status))?.into_inner();
            left = left.saturating_sub(u32::try_from(page.events.len())?);
            for event in page.events {
                match self.format {
                    Format::Csv => output.serialize(Line::from(event))?,
                    Format::Json => println!("{}", serde_json::to_string(&Line::from(event))?),
                }
            }
            output.flush()?;
            page_token = page.next_page_token;
            if left == 0 || page_token.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A refusal in the words of this command's flags.
fn explain(status: &Status) -> anyhow::Error {
    let fault = Fault::from_status(status);
    if fault.reason() != ErrorReason::InvalidArgument {
        return anyhow::anyhow!("{}: {}", fault.reason().name(), fault.message());
    }
    let wrong = fault
        .violations()
        .iter()
        .map(|(field, why)| format!("--{field}: {why}"));
    WrongUsage(wrong.collect::<Vec<_>>().join("; ")).into()
}
