//! The demo's calls, each with the claim that it checks.
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CountLeadsRequest, GetLeadRequest, ImportOutcome, Lead};
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{GetQuotaRequest, Resource};
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_api::tenant::{ChangePlanRequest, SuspendTenantRequest};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_operator::stack::Stack;
use onekeel_tenancy::Role;
use tonic::transport::Channel;

use super::{BASIC_LEADS, PROFESSIONAL_LEADS, say};
use crate::commands::calls::{Imported, import, with_token};

const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
/// A change of state is effective everywhere within this time.
const EFFECTIVE: Duration = Duration::from_secs(2);
/// More calls than any minute of the basic plan admits.
const HAMMERING: usize = 300;

/// Two tenants and those who call for them.
pub(super) struct Journey {
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
    pub fn new(stack: &Stack, acme: ClientId, globex: ClientId) -> anyhow::Result<Self> {
        Ok(Self {
            leads: LeadServiceClient::new(stack.channel("lead", 0)?).max_decoding_message_size(LARGEST_ANSWER),
            quota: QuotaServiceClient::new(stack.channel("quota", 0)?),
            tenants: TenantServiceClient::new(stack.channel("tenant", 0)?),
            acme,
            acme_token: stack.token(Some(acme), Role::Admin)?,
            globex,
            globex_token: stack.token(Some(globex), Role::Admin)?,
            platform_token: stack.token(None, Role::PlatformAdmin)?,
        })
    }

    /// Imports into the basic plan: never more than it allows, and fewer only when there are no more.
    pub async fn import_up_to_the_limit(&mut self, leads: &[Lead]) -> anyhow::Result<Imported> {
        let imported = import(&mut self.leads, &self.acme_token, leads).await??;
        check(&imported, leads, 0, BASIC_LEADS)?;
        let answer = &imported.answer;
        if let Some(refused) = answer
            .results
            .iter()
            .find(|result| result.outcome() == ImportOutcome::OverQuota)
        {
            say(&format!(
                "  for example row {}: refused, the plan's limit is reached",
                refused.row
            ));
        }
        self.check_count(answer.created).await?;
        Ok(imported)
    }

    /// Imports the same rows again after the upgrade: what is there is a duplicate, the rest is created.
    pub async fn import_the_rest(&mut self, leads: &[Lead], first: &Imported) -> anyhow::Result<Imported> {
        let imported = import(&mut self.leads, &self.acme_token, leads).await??;
        check(&imported, leads, first.answer.created, PROFESSIONAL_LEADS)?;
        let answer = &imported.answer;
        ensure!(
            answer.duplicate >= first.answer.created,
            "{} duplicates only",
            answer.duplicate
        );
        self.check_count(first.answer.created + answer.created).await?;
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

    pub async fn other_tenant_sees_nothing(&mut self, imported: &Imported) -> anyhow::Result<()> {
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

    pub async fn upgrade(&mut self) -> anyhow::Result<()> {
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

    pub async fn rate_limit(&mut self) -> anyhow::Result<()> {
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

    pub async fn suspend(&mut self) -> anyhow::Result<()> {
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

/// Every row was answered, none was left untried, and the limit was reached exactly or not at all.
fn check(imported: &Imported, leads: &[Lead], before: i64, limit: i64) -> anyhow::Result<()> {
    let answer = &imported.answer;
    say(&format!(
        "  created {}, over quota {}, duplicate {}, invalid {}; {} phones kept as written",
        answer.created, answer.over_quota, answer.duplicate, answer.invalid, answer.phones_kept_raw
    ));
    ensure!(
        answer.results.len() == leads.len(),
        "{} rows answered of {}",
        answer.results.len(),
        leads.len()
    );
    ensure!(answer.not_tried == 0, "{} rows were not tried", answer.not_tried);
    let total = before + answer.created;
    ensure!(total <= limit, "{total} leads under a limit of {limit}");
    ensure!(
        total == limit || answer.over_quota == 0,
        "rows were refused at {total} of {limit} leads"
    );
    Ok(())
}
