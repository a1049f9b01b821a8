//! `onekeel usage`
mod report;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use onekeel_api::quota::GetUsageReportRequest;
use onekeel_api::quota::usage_service_client::UsageServiceClient;
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_operator::stack::endpoint;
use onekeel_server::{Secret, SecretSource};
use tonic::Status;
use tonic::transport::Uri;

use self::report::Report;
use super::calls::with_token;
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
    /// Authorities in PEM that sign the certificate of an `https://` server.
    #[arg(long, env = "TLS_CA_FILE", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Token of an operator, or of an administrator of the tenant; required, here or in a file.
    #[arg(long, env = "ONEKEEL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Secret>,
    /// File that holds ONEKEEL_TOKEN.
    #[arg(long, env = "ONEKEEL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
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
        let token = SecretSource {
            name: "ONEKEEL_TOKEN",
            value: self.token.as_ref(),
            file: self.token_file.as_ref(),
        };
        let token = token.required().map_err(|error| WrongUsage(format!("{error:#}")))?;
        let (address, trusted) = self.place()?;
        let channel = endpoint(&address, trusted.as_deref())?;
        let channel = channel
            .connect()
            .await
            .with_context(|| format!("cannot reach {}", self.server))?;
        let wish = GetUsageReportRequest {
            client_id: self.tenant.clone(),
            start_date: self.from.clone(),
            end_date: self.to.clone(),
        };
        let mut client = UsageServiceClient::new(channel);
        let asked = client.get_usage_report(with_token(wish, token.expose())?).await;
        let report = Report::new(tenant, asked.map_err(|status| explain(&status))?.into_inner());
        match self.format {
            Format::Table => print!("{}", report.table()),
            Format::Json => print_json(&report)?,
            Format::Csv => print!("{}", report.csv()?),
        }
        Ok(())
    }

    /// `host:port`, and what is trusted there.
    fn place(&self) -> anyhow::Result<(String, Option<String>)> {
        let given = &self.server;
        let wrong = || {
            WrongUsage(format!(
                "--server {given}: must be http://host:port or https://host:port"
            ))
        };
        let uri: Uri = given.parse().map_err(|_| wrong())?;
        let address = uri.authority().filter(|_| uri.port_u16().is_some()).ok_or_else(wrong)?;
        let trusted = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let needed = || WrongUsage(format!("--server {given}: https:// needs --ca or TLS_CA_FILE"));
                let path = self.ca.as_deref().ok_or_else(needed)?;
                let read = std::fs::read_to_string(path);
                Some(read.map_err(|error| WrongUsage(format!("--ca: cannot read {}: {error}", path.display())))?)
            }
            _ => return Err(wrong().into()),
        };
        Ok((address.to_string(), trusted))
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
