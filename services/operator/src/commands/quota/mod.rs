//! `onekeel quota`
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use onekeel_api::quota::ReconcileUsageRequest;
use onekeel_api::quota::limit_service_client::LimitServiceClient;

use super::remote::Remote;

/// Holds the accounts of a running deployment against the rows, and mends them.
#[derive(Args)]
#[command(after_help = "Examples:
  export ONEKEEL_TOKEN_FILE=token QUOTA_ADDR=http://quota:50051 TENANT_ADDR=http://tenant:50051
  onekeel quota verify --all
  onekeel quota verify --client 01a20b12-80ab-7463-a015-80e1156cec5e --json
  onekeel quota reconcile --client 01a20b12-80ab-7463-a015-80e1156cec5e --reason 'restored from a backup'

Needs a token of a platform role. Exit codes: 0 no drift, 1 drift or failure, 2 wrong usage.")]
pub struct Quota {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Verify),
    Reconcile(Reconcile),
}

/// Corrects the accounts of one tenant by what they are off; who and why is written down.
#[derive(Args)]
struct Reconcile {
    /// The tenant's id.
    #[arg(long, value_name = "UUID")]
    client: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    quota: QuotaServer,
}

/// Where QuotaService is.
#[derive(Args)]
struct QuotaServer {
    /// QuotaService, as `http://host:port` or `https://host:port`.
    #[arg(long, env = "QUOTA_ADDR", value_name = "URL")]
    quota: String,
    #[command(flatten)]
    remote: Remote,
}

impl Quota {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Verify(verify) => verify.run().await,
            Command::Reconcile(reconcile) => reconcile.run().await,
        }
    }
}

impl Reconcile {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let channel = self.quota.remote.channel("--quota", &self.quota.quota)?;
        let wish = ReconcileUsageRequest {
            client_id: self.client,
            reason: self.reason,
        };
        let request = self.quota.remote.request(wish)?;
        let answer = LimitServiceClient::new(channel).reconcile_usage(request).await;
        let corrected = answer
            .map_err(|status| anyhow::anyhow!("{}", status.message()))?
            .into_inner()
            .corrected;
        for check in &corrected {
            println!(
                "{}: {} accounted, {} counted; corrected",
                check.resource().name(),
                check.accounted,
                check.counted
            );
        }
        if corrected.is_empty() {
            println!("nothing was off");
        }
        Ok(ExitCode::SUCCESS)
    }
}
