//! Methods that name no object: each tenant gets an answer about itself.
use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::lead::{CountLeadsRequest, CreateLeadRequest, ImportLeadsRequest, ListLeadsRequest};
use onekeel_api::quota::{GetQuotaRequest, ListPlansRequest, Resource};
use onekeel_tests::{Member, is, lead_named};

use crate::two::Two;

impl Two {
    /// Tries such a method for both tenants; false when there is no case for it.
    pub async fn unnamed(&self, method: &str) -> anyhow::Result<bool> {
        Ok(self.unnamed_of_leads(method).await? || self.unnamed_of_quota(method).await?)
    }

    async fn unnamed_of_leads(&self, method: &str) -> anyhow::Result<bool> {
        match method {
            "onekeel.lead.v1.LeadService/CreateLead" => {
                let message = || CreateLeadRequest {
                    lead: Some(lead_named("carl")),
                    request_id: String::new(),
                };
                let mine = self
                    .leads()?
                    .create_lead(self.as_user(&self.a, message())?)
                    .await?
                    .into_inner();
                let other = self
                    .leads()?
                    .create_lead(self.as_user(&self.b, message())?)
                    .await?
                    .into_inner();
                ensure!(mine.id != other.id, "one lead in two tenants");
                is(self.b.get(&mine.id).await, ErrorReason::NotFound)?;
            }
            "onekeel.lead.v1.LeadService/ListLeads" => {
                let mine = self
                    .leads()?
                    .list_leads(self.as_user(&self.a, ListLeadsRequest::default())?)
                    .await?
                    .into_inner();
                ensure!(
                    mine.leads.iter().any(|lead| lead.id == self.lead.id),
                    "A does not see its lead"
                );
                let other = self
                    .leads()?
                    .list_leads(self.as_user(&self.b, ListLeadsRequest::default())?)
                    .await?
                    .into_inner();
                let ids: BTreeSet<_> = mine.leads.iter().map(|lead| &lead.id).collect();
                ensure!(
                    other.leads.iter().all(|lead| !ids.contains(&lead.id)),
                    "B sees leads of A"
                );
                ensure!(
                    other.leads.iter().any(|lead| lead.id == self.own.id),
                    "B does not see its own lead"
                );
            }
            "onekeel.lead.v1.LeadService/CountLeads" => {
                let count = async |member: &Member| {
                    let request = self.as_user(member, CountLeadsRequest {})?;
                    anyhow::Ok(self.leads()?.count_leads(request).await?.into_inner().count)
                };
                let before = count(&self.b).await?;
                self.a.create(lead_named("counted")).await?;
                ensure!(
                    count(&self.a).await? >= 2 && count(&self.b).await? == before,
                    "B counts leads of A"
                );
            }
            "onekeel.lead.v1.LeadService/ImportLeads" => {
                let message = || {
                    tokio_stream::iter([ImportLeadsRequest {
                        leads: vec![lead_named("ann")],
                    }])
                };
                let mine = self
                    .leads()?
                    .import_leads(self.as_user(&self.a, message())?)
                    .await?
                    .into_inner();
                ensure!(mine.duplicate == 1, "A has an ann already: {mine:?}");
                let other = self
                    .leads()?
                    .import_leads(self.as_user(&self.b, message())?)
                    .await?
                    .into_inner();
                ensure!(other.created == 1, "B learns of A's ann: {other:?}");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn unnamed_of_quota(&self, method: &str) -> anyhow::Result<bool> {
        match method {
            "onekeel.quota.v1.QuotaService/GetQuota" => {
                let used = async |member: &Member| {
                    let request = self.as_user(member, GetQuotaRequest {})?;
                    let quota = self.quota()?.get_quota(request).await?.into_inner();
                    let leads = quota
                        .usages
                        .into_iter()
                        .find(|usage| usage.resource() == Resource::Leads);
                    anyhow::Ok(leads.context("no limit of leads")?.used)
                };
                let before = used(&self.b).await?;
                self.a.create(lead_named("used")).await?;
                ensure!(
                    used(&self.a).await? >= 2 && used(&self.b).await? == before,
                    "B sees what A uses"
                );
            }
            "onekeel.quota.v1.QuotaService/ListPlans" => {
                let list = async |member: &Member| {
                    let request = self.as_user(member, ListPlansRequest {})?;
                    anyhow::Ok(self.quota()?.list_plans(request).await?.into_inner())
                };
                ensure!(
                    list(&self.a).await? == list(&self.b).await?,
                    "the catalogue is the same for all"
                );
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
