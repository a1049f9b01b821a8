//! `onekeel usage`
mod report;

use clap::{Args, ValueEnum};
use onekeel_api::quota::GetUsageReportRequest;
use onekeel_api::quota::usage_service_client::UsageServiceClient;
use onekeel_api::{ClientId, ErrorReason, Fault};
use tonic::Status;

use self::report::Report;
use super::remote::Remote;
use super::{WrongUsage, print_json};

/// Prints what a tenant used day by day, and what it costs.
#[derive(Args)]
#[command(after_help = "Examples:
  export ONEKEEL_TOKEN=$(onekeel token --role platform_viewer)
  onekeel usage --server http://quota:50051 --tenant 01a20b12-80ab-7463-a015-80e1156cec5e --from 2026-01-01 --to 2026-01-31
  onekeel usage --tenant 01a20b12-80ab-7463-a015-80e1156cec5e --from 2026-01-01 --to 2026-01-31 --format csv > january.csv

The last seconds may be missing: servers write down every 5 s what they counted.")]
pub struct Usage {
    /// The tenant's id.
    #[arg(long, value_name = "UUID")]
    tenant: String,
    /// First day (UTC), as 2026-01-31.
    #[arg(long, value_name = "DAY")]
    from: String,
    /// Last day (UTC), at most 365 days after the first.
    #[arg(long, value_name = "DAY")]
    to: String,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// QuotaService, as `http://host:port` or `https://host:port`.
    #[arg(long, env = "QUOTA_ADDR", value_name = "URL")]
    server: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for people, with a total.
    Table,
    /// Days, total and prices; money as decimal text.
    Json,
    /// A line for each day.
    Csv,
}

impl Usage {
    pub async fn run(self) -> anyhow::Result<()> {
        let tenant = &self.tenant;
        ClientId::parse("--tenant", tenant).map_err(|_| WrongUsage(format!("--tenant {tenant}: must be a UUID")))?;
        let wish = GetUsageReportRequest {
            client_id: self.tenant.clone(),
            start_date: self.from.clone(),
            end_date: self.to.clone(),
        };
        let request = self.remote.request(wish)?;
        let mut client = UsageServiceClient::new(self.remote.channel("--server", &self.server)?);
        let asked = client.get_usage_report(request).await;
        let report = Report::new(tenant, asked.map_err(|status| explain(&status))?.into_inner());
        match self.format {
            Format::Table => print!("{}", report.table()),
            Format::Json => print_json(&report)?,
            Format::Csv => print!("{}", report.csv()?),
        }
        Ok(())
    }
}

/// A refusal in the words of this command's flags.
fn explain(status: &Status) -> anyhow::Error {
    let fault = Fault::from_status(status);
    if fault.reason() != ErrorReason::InvalidArgument {
        return anyhow::anyhow!("{}: {}", fault.reason().name(), fault.message());
    }
    let flag = |field: &str| match field {
        "client_id" => "--tenant",
        "start_date" => "--from",
        _ => "--to",
    };
    let wrong = fault.violations().iter();
    let wrong = wrong.map(|(field, why)| format!("{}: {why}", flag(field)).replace("`start_date`", "--from"));
    WrongUsage(wrong.collect::<Vec<_>>().join("; ")).into()
}
