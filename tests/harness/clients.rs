//! A user of a tenant with the clients it uses.
use onekeel_api::campaign::agent_service_client::AgentServiceClient;
use onekeel_api::campaign::campaign_service_client::CampaignServiceClient;
use onekeel_api::campaign::conversation_service_client::ConversationServiceClient;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{
    CountLeadsRequest, CreateLeadRequest, DeleteLeadRequest, GetLeadRequest, ImportLeadsRequest, ImportLeadsResponse,
    Lead, ListLeadsRequest, ListLeadsResponse, UpdateLeadRequest,
};
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{GetQuotaRequest, QuotaUsage, Resource};
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_api::{ClientId, tenant};
use onekeel_operator::stack::Stack;
use onekeel_tenancy::Role;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::world::with_token;

/// A user; clones share its connections.
#[derive(Clone)]
pub struct Member {
    /// Its tenant.
    pub id: ClientId,
    token: String,
    leads: LeadServiceClient<Channel>,
    quota: QuotaServiceClient<Channel>,
    tenants: TenantServiceClient<Channel>,
    campaign: Channel,
}

impl Member {
    /// A user of tenant `id`, who calls the process `replica` of LeadService.
    pub fn new(stack: &Stack, id: ClientId, role: Role, replica: usize) -> anyhow::Result<Self> {
        Self::with_token(stack, id, stack.token(Some(id), role)?, replica)
    }

    /// Whoever has this token of tenant `id`.
    pub fn with_token(stack: &Stack, id: ClientId, token: String, replica: usize) -> anyhow::Result<Self> {
        Ok(Self {
            id,
            token,
            leads: LeadServiceClient::new(stack.channel("lead", replica)?).max_decoding_message_size(64 << 20),
            quota: QuotaServiceClient::new(stack.channel("quota", 0)?),
            tenants: TenantServiceClient::new(stack.channel("tenant", 0)?),
            campaign: stack.channel("campaign", 0)?,
        })
    }

    /// A request with the user's token and a deadline.
    pub fn request<T>(&self, message: T) -> Request<T> {
        with_token(message, &self.token).expect("a token is fit for a header")
    }

    /// LeadService
    pub fn leads(&self) -> LeadServiceClient<Channel> {
        self.leads.clone()
    }

    /// CampaignService
    pub fn campaigns(&self) -> CampaignServiceClient<Channel> {
        CampaignServiceClient::new(self.campaign.clone())
    }

    /// AgentService
    pub fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.campaign.clone())
    }

    /// ConversationService
    pub fn conversations(&self) -> ConversationServiceClient<Channel> {
        ConversationServiceClient::new(self.campaign.clone())
    }

    /// QuotaService
    pub fn quotas(&self) -> QuotaServiceClient<Channel> {
        self.quota.clone()
    }

    /// TenantService
    pub fn tenants(&self) -> TenantServiceClient<Channel> {
        self.tenants.clone()
    }

    /// CreateLead
    pub async fn create(&self, lead: Lead) -> Result<Lead, Status> {
        self.create_once(lead, String::new()).await
    }

    /// CreateLead with a request id.
    pub async fn create_once(&self, lead: Lead, request_id: String) -> Result<Lead, Status> {
        let wish = CreateLeadRequest {
            lead: Some(lead),
            request_id,
        };
        Ok(self.leads.clone().create_lead(self.request(wish)).await?.into_inner())
    }

    /// GetLead
    pub async fn get(&self, id: &str) -> Result<Lead, Status> {
        Ok(self
            .leads
            .clone()
            .get_lead(self.request(GetLeadRequest { id: id.to_owned() }))
            .await?
            .into_inner())
    }

    /// UpdateLead of the fields in `mask`.
    pub async fn update(&self, lead: Lead, mask: &[&str]) -> Result<Lead, Status> {
        let paths = mask.iter().map(|field| (*field).to_owned()).collect();
        let wish = UpdateLeadRequest {
            lead: Some(lead),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        Ok(self.leads.clone().update_lead(self.request(wish)).await?.into_inner())
    }

    /// DeleteLead
    pub async fn delete(&self, id: &str, etag: &str) -> Result<(), Status> {
        let wish = DeleteLeadRequest {
            id: id.to_owned(),
            etag: etag.to_owned(),
        };
        self.leads.clone().delete_lead(self.request(wish)).await?;
        Ok(())
    }

    /// ListLeads
    pub async fn list(&self, wish: ListLeadsRequest) -> Result<ListLeadsResponse, Status> {
        Ok(self.leads.clone().list_leads(self.request(wish)).await?.into_inner())
    }

    /// CountLeads
    pub async fn count(&self) -> Result<i64, Status> {
        Ok(self
            .leads
            .clone()
            .count_leads(self.request(CountLeadsRequest {}))
            .await?
            .into_inner()
            .count)
    }

    /// ImportLeads in messages of 100 rows.
    pub async fn import(&self, leads: Vec<Lead>) -> Result<ImportLeadsResponse, Status> {
        let messages: Vec<_> = leads
            .chunks(100)
            .map(|rows| ImportLeadsRequest { leads: rows.to_vec() })
            .collect();
        let stream = tokio_stream::iter(messages);
        Ok(self
            .leads
            .clone()
            .import_leads(self.request(stream))
            .await?
            .into_inner())
    }

    /// GetQuota's line about leads.
    pub async fn quota(&self) -> Result<QuotaUsage, Status> {
        self.quota_of(Resource::Leads).await
    }

    /// GetQuota's line about a resource.
    pub async fn quota_of(&self, resource: Resource) -> Result<QuotaUsage, Status> {
        let request = self.request(GetQuotaRequest {});
        let quota = self.quota.clone().get_quota(request).await?.into_inner();
        let line = quota.usages.into_iter().find(|usage| usage.resource() == resource);
        line.ok_or_else(|| Status::data_loss("no such limit"))
    }

    /// GetTenant
    pub async fn tenant(&self, id: &str) -> Result<tenant::Tenant, Status> {
        let wish = tenant::GetTenantRequest { id: id.to_owned() };
        Ok(self.tenants.clone().get_tenant(self.request(wish)).await?.into_inner())
    }
}

/// A valid lead whose e-mail address is made of `name`.
pub fn lead_named(name: &str) -> Lead {
    Lead {
        first_name: name.to_owned(),
        email: format!("{name}@example.com"),
        ..Lead::default()
    }
}
