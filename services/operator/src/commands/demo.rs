//! `onekeel demo`
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CountLeadsRequest, GetLeadRequest, ImportOutcome, Lead};
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{GetQuotaRequest, Resource};
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_api::tenant::{ChangePlanRequest, SuspendTenantRequest};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_operator::stack::{Plan, Stack};
use onekeel_operator::{sample, spreadsheet};
use onekeel_tenancy::Role;
use tonic::transport::Channel;

use super::journey::{Imported, create_tenant, grpcurl_lines, import, with_token};
use super::{build_servers, on_stack};

const BASIC_LEADS: i64 = 1_000;
const PROFESSIONAL_LEADS: i64 = 10_000;
/// A change of state is effective everywhere within this time.
const EFFECTIVE: Duration = Duration::from_secs(2);
/// More calls than any minute of the basic plan admits.
const HAMMERING: usize = 300;

/// Runs the main job end to end and checks every claim it prints: two tenants, an import that stops exactly at the
/// plan's limit, an upgrade, a suspension, the rate limit.
#[derive(Args)]
pub struct Demo {
    /// Leads to import; a generated sample without it.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// What a column means, as `Column=field`; may be repeated.
    #[arg(long = "map", value_name = "COLUMN=FIELD")]
    mapping: Vec<String>,
    /// Keeps the suite up until Ctrl-C, to try the printed grpcurl lines.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub async fn run(self) -> anyhow::Result<()> {
        say("building the servers");
        build_servers().await?;
        let began = Instant::now();
        say("starting PostgreSQL, Redis and three servers");
        on_stack(&Plan::default(), async |stack: &Stack| self.journey(stack, began).await).await
    }

    async fn journey(&self, stack: &Stack, began: Instant) -> anyhow::Result<()> {
        let leads = self.read_leads(stack)?;
        let (acme, _) = create_tenant(stack, "Acme", "acme", "basic").await?;
        let (globex, _) = create_tenant(stack, "Globex", "globex", "basic").await?;
        say(&format!("two tenants on the basic plan: Acme {acme}, Globex {globex}"));
        let mut journey = Journey::new(stack, acme, globex)?;
        say(&format!(
            "Acme imports {} rows; its plan allows {BASIC_LEADS} leads",
            leads.len()
        ));
        let first = journey.import_up_to(&leads, BASIC_LEADS).await?;
        say(&format!(
            "first import done {:.1} s after the build",
            began.elapsed().as_secs_f64()
        ));
        journey.other_tenant_sees_nothing(&first).await?;
        journey.upgrade().await?;
        say(&format!(
            "Acme imports the file again; its plan now allows {PROFESSIONAL_LEADS}"
        ));
        let second = journey.import_rest(&leads, &first).await?;
        journey.rate_limit().await?;
        journey.suspend().await?;

        println!(
            "\n{:<26}{:>10}{:>10}{:>12}{:>9}{:>9}{:>10}",
            "import", "created", "over", "duplicate", "invalid", "seconds", "rows/s"
        );
        for (name, imported) in [("basic", &first), ("professional", &second)] {
            let (answer, seconds) = (&imported.answer, imported.took.as_secs_f64());
            let rate = leads.len() as f64 / seconds;
            println!(
                "{name:<26}{:>10}{:>10}{:>12}{:>9}{seconds:>9.2}{rate:>10.0}",
                answer.created, answer.over_quota, answer.duplicate, answer.invalid
            );
        }
        println!(
            "phones kept as written: {}",
            first.answer.phones_kept_raw + second.answer.phones_kept_raw
        );
        println!(
            "\nto try, while `cargo onekeel demo --keep` or `cargo onekeel dev` runs:\n{}",
            grpcurl_lines(stack, acme)?
        );
        if self.keep {
            println!("\nCtrl-C ends it.");
            tokio::signal::ctrl_c().await?;
        }
        Ok(())
    }

    fn read_leads(&self, stack: &Stack) -> anyhow::Result<Vec<Lead>> {
        let path = match &self.csv {
            Some(path) => path.clone(),
            None => {
                let path = stack.folder().join("sample.csv");
                sample::write(&path)?;
                path
            }
        };
        let sheet = spreadsheet::read(&path, &self.mapping)?;
        say(&format!("{}: {} rows", path.display(), sheet.leads.len()));
        say(&format!("  columns: {}", sheet.mapped.join(", ")));
        say(&format!("  left out: {}", sheet.ignored.join(", ")));
        Ok(sheet.leads)
    }
}

struct Journey {
    leads: LeadServiceClient<Channel>,
    quota: QuotaServiceClient<Channel>,
    tenants: TenantServiceClient<Channel>,
    acme: ClientId,
    acme_token: String,
    globex: ClientId,
    globex_token: String,
    platform_token: String,
}

impl Journey {
    fn new(stack: &Stack, acme: ClientId, globex: ClientId) -> anyhow::Result<Self> {
        let largest = 64 * 1024 * 1024;
        Ok(Self {
            leads: LeadServiceClient::new(stack.channel("lead", 0)?).max_decoding_message_size(largest),
            quota: QuotaServiceClient::new(stack.channel("quota", 0)?),
            tenants: TenantServiceClient::new(stack.channel("tenant", 0)?),
            acme,
            acme_token: stack.token(Some(acme), Role::Admin)?,
            globex,
            globex_token: stack.token(Some(globex), Role::Admin)?,
            platform_token: stack.token(None, Role::PlatformAdmin)?,
        })
    }

    async fn import_up_to(&mut self, leads: &[Lead], limit: i64) -> anyhow::Result<Imported> {
        let imported = import(&mut self.leads, &self.acme_token, leads).await??;
        let answer = &imported.answer;
        report(&imported);
        let valid = rows(leads) - answer.invalid;
        ensure!(answer.created == limit, "{} created, not {limit}", answer.created);
        ensure!(
            answer.over_quota + answer.duplicate == valid - limit,
            "rows are missing from the outcomes"
        );
        ensure!(
            answer.not_tried == 0 && answer.results.len() == leads.len(),
            "not every row was answered"
        );
        let refused = answer
            .results
            .iter()
            .find(|result| result.outcome() == ImportOutcome::OverQuota);
        let refused = refused.context("no row was refused")?;
        say(&format!(
            "  for example row {}: refused, the plan's limit is reached",
            refused.row
        ));
        self.check_count(limit).await?;
        Ok(imported)
    }

    async fn import_rest(&mut self, leads: &[Lead], first: &Imported) -> anyhow::Result<Imported> {
        let imported = import(&mut self.leads, &self.acme_token, leads).await??;
        let answer = &imported.answer;
        report(&imported);
        let rest = PROFESSIONAL_LEADS - first.answer.created;
        ensure!(answer.created == rest, "{} created, not {rest}", answer.created);
        let again = rows(leads) - answer.invalid - rest;
        ensure!(
            answer.duplicate == again && answer.over_quota == 0,
            "{} duplicates, not {again}",
            answer.duplicate
        );
        self.check_count(PROFESSIONAL_LEADS).await?;
        Ok(imported)
    }

    /// Counted rows and counted units must be the same number.
    async fn check_count(&mut self, expected: i64) -> anyhow::Result<()> {
        let rows = self
            .leads
            .count_leads(with_token(CountLeadsRequest {}, &self.acme_token)?)
            .await?
            .into_inner()
            .count;
        let quota = self
            .quota
            .get_quota(with_token(GetQuotaRequest {}, &self.acme_token)?)
            .await?
            .into_inner();
        let used = quota
            .usages
            .iter()
            .find(|usage| usage.resource() == Resource::Leads)
            .context("no limit of leads")?;
        ensure!(
            rows == expected && used.used == expected,
            "{rows} rows, {} used, not {expected}",
            used.used
        );
        say(&format!(
            "  CountLeads {rows} = GetQuota.used {} of {}",
            used.used,
            used.limit.unwrap_or_default()
        ));
        Ok(())
    }

    async fn other_tenant_sees_nothing(&mut self, imported: &Imported) -> anyhow::Result<()> {
        let count = self
            .leads
            .count_leads(with_token(CountLeadsRequest {}, &self.globex_token)?)
            .await?
            .into_inner()
            .count;
        ensure!(count == 0, "Globex counts {count} leads");
        let created = imported
            .answer
            .results
            .iter()
            .find(|result| result.outcome() == ImportOutcome::Created);
        let id = created.context("no lead was created")?.lead_id.clone();
        let wish = GetLeadRequest { id: id.clone() };
        self.leads
            .get_lead(with_token(wish.clone(), &self.acme_token)?)
            .await
            .context("Acme's own lead")?;
        let refused = self.leads.get_lead(with_token(wish, &self.globex_token)?).await;
        let fault = Fault::from_status(&refused.err().context("Globex read Acme's lead")?);
        ensure!(fault.reason() == ErrorReason::NotFound, "Globex got {fault}");
        say(&format!(
            "Globex counts 0 leads, and asking for Acme's {id} gets: {}",
            fault.message()
        ));
        Ok(())
    }

    async fn upgrade(&mut self) -> anyhow::Result<()> {
        let wish = ChangePlanRequest {
            id: self.acme.to_string(),
            plan: "professional".to_owned(),
            allow_overage: false,
        };
        let tenant = self
            .tenants
            .change_plan(with_token(wish, &self.platform_token)?)
            .await?
            .into_inner();
        ensure!(tenant.plan == "professional", "the plan is {}", tenant.plan);
        say("Acme moves to the professional plan");
        Ok(())
    }

    async fn rate_limit(&mut self) -> anyhow::Result<()> {
        for call in 0..HAMMERING {
            let Err(status) = self
                .leads
                .count_leads(with_token(CountLeadsRequest {}, &self.globex_token)?)
                .await
            else {
                continue;
            };
            let fault = Fault::from_status(&status);
            ensure!(fault.reason() == ErrorReason::RateLimited, "Globex got {fault}");
            let retry = fault.retry_delay().context("no retry time")?;
            say(&format!(
                "Globex hammers: call {call} is refused, {}; retry in {:.1} s",
                fault.message(),
                retry.as_secs_f64()
            ));
            return Ok(());
        }
        anyhow::bail!("{HAMMERING} calls in a row were admitted")
    }

    async fn suspend(&mut self) -> anyhow::Result<()> {
        let wish = SuspendTenantRequest {
            id: self.globex.to_string(),
        };
        self.tenants
            .suspend_tenant(with_token(wish, &self.platform_token)?)
            .await?;
        let suspended = Instant::now();
        loop {
            let refused = self
                .leads
                .count_leads(with_token(CountLeadsRequest {}, &self.globex_token)?)
                .await;
            let fault = Fault::from_status(
                &refused
                    .err()
                    .context("Globex is rate limited and suspended, and got through")?,
            );
            if fault.reason() == ErrorReason::TenantSuspended {
                let after = suspended.elapsed().as_secs_f64();
                say(&format!(
                    "Globex is suspended: {after:.1} s later its calls get: {}",
                    fault.message()
                ));
                return Ok(());
            }
            ensure!(
                suspended.elapsed() < EFFECTIVE,
                "the suspension is not effective after {EFFECTIVE:?}: {fault}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn rows(leads: &[Lead]) -> i64 {
    i64::try_from(leads.len()).unwrap_or(i64::MAX)
}

fn report(imported: &Imported) {
    let answer = &imported.answer;
    say(&format!(
        "  created {}, over quota {}, duplicate {}, invalid {}; {} phones kept as written",
        answer.created, answer.over_quota, answer.duplicate, answer.invalid, answer.phones_kept_raw
    ));
}

fn say(line: &str) {
    println!("{line}");
}
