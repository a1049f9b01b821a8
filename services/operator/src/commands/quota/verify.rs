//! `onekeel quota verify`
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use onekeel_api::quota::limit_service_client::LimitServiceClient;
use onekeel_api::quota::{UsageCheck, VerifyUsageRequest};
use onekeel_api::tenant::ListTenantsRequest;
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use serde::Serialize;
use tonic::transport::Channel;

use super::QuotaServer;
use crate::commands::{WrongUsage, print_json};

const TENANTS_A_PAGE: i32 = 500;

/// Compares what is accounted with the rows that exist; changes nothing.
#[derive(Args)]
pub struct Verify {
    /// Every tenant, deleted ones too.
    #[arg(long, conflicts_with = "client", required_unless_present = "client")]
    all: bool,
    /// One tenant, by its id.
    #[arg(long, value_name = "UUID")]
    client: Option<String>,
    /// TenantService, for --all; as `http://host:port` or `https://host:port`.
    #[arg(long, env = "TENANT_ADDR", value_name = "URL")]
    tenant: Option<String>,
    /// Shows the accounts without a drift too.
    #[arg(long)]
    verbose: bool,
    /// Prints JSON: one object for each account that is shown.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    quota: QuotaServer,
}

#[derive(Serialize)]
struct Line {
    client_id: String,
    resource: &'static str,
    counted: i64,
    accounted: i64,
    drift: i64,
}

impl Verify {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let tenants = match &self.client {
            Some(client) => vec![client.clone()],
            None => self.list().await?,
        };
        let remote = &self.quota.remote;
        let mut limits = LimitServiceClient::new(remote.channel("--quota", &self.quota.quota)?);
        let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} tenants  {elapsed}")?;
        let bar = ProgressBar::new(tenants.len() as u64).with_style(style);
        let (mut lines, mut checked, mut drifts) = (Vec::new(), 0, 0);
        for client_id in tenants {
            let wish = VerifyUsageRequest {
                client_id: client_id.clone(),
            };
            let answer = limits.verify_usage(remote.request(wish)?).await;
            let answer = answer.map_err(|status| anyhow::anyhow!("tenant {client_id}: {}", status.message()))?;
            for check in answer.into_inner().checks {
                checked += 1;
                drifts += usize::from(check.drift != 0);
                if check.drift != 0 || self.verbose {
                    lines.push(line(&client_id, &check));
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if self.json {
            print_json(&lines)?;
        } else {
            print(&lines);
            println!("{checked} accounts, {drifts} with a drift");
        }
        Ok(if drifts == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// The ids of all tenants, page by page.
    async fn list(&self) -> anyhow::Result<Vec<String>> {
        let address = self.tenant.as_ref();
        let address = address.ok_or_else(|| WrongUsage("--all needs --tenant or TENANT_ADDR".to_owned()))?;
        let remote = &self.quota.remote;
        let mut tenants: TenantServiceClient<Channel> = TenantServiceClient::new(remote.channel("--tenant", address)?);
        let (mut ids, mut page_token) = (Vec::new(), String::new());
        loop {
            let wish = ListTenantsRequest {
                page_size: TENANTS_A_PAGE,
                page_token,
                show_deleted: true,
            };
            let answer = tenants.list_tenants(remote.request(wish)?).await;
            let page = answer
                .map_err(|status| anyhow::anyhow!("ListTenants: {}", status.message()))?
                .into_inner();
            // One that is still being set up has no accounts yet.
            let ready = page.tenants.into_iter().filter(|tenant| !tenant.plan.is_empty());
            ids.extend(ready.map(|tenant| tenant.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(ids);
            }
        }
    }
}

fn line(client_id: &str, check: &UsageCheck) -> Line {
    Line {
        client_id: client_id.to_owned(),
        resource: check.resource().name(),
        counted: check.counted,
        accounted: check.accounted,
        drift: check.drift,
    }
}

fn print(lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    println!(
        "{:36}  {:13}  {:>12}  {:>12}  {:>8}",
        "tenant", "resource", "counted", "accounted", "drift"
    );
    for line in lines {
        println!(
            "{:36}  {:13}  {:>12}  {:>12}  {:>+8}",
            line.client_id, line.resource, line.counted, line.accounted, line.drift
        );
    }
}
