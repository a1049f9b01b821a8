//! Two tenants with all that it takes to try each other's things.
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use onekeel_api::lead::Lead;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_tenancy::{Role, Signer, Tenant};
use onekeel_tests::{Member, World, lead_named};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Two tenants with a lead each, and tokens of all kinds.
pub struct Two {
    pub world: Arc<World>,
    pub a: Member,
    pub b: Member,
    pub lead: Lead,
    pub own: Lead,
}

impl Two {
    pub async fn new(world: Arc<World>) -> anyhow::Result<Self> {
        let (a, b) = (world.member("enterprise").await?, world.member("enterprise").await?);
        let (lead, own) = (a.create(lead_named("ann")).await?, b.create(lead_named("bob")).await?);
        Ok(Self { world, a, b, lead, own })
    }

    pub fn as_user<T>(&self, member: &Member, message: T) -> anyhow::Result<Request<T>> {
        bearer(message, &self.world.stack.token(Some(member.id), Role::Admin)?)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a service's signer needs a tenant, and no server is asked for one here"
    )]
    pub fn as_service<T>(&self, member: &Member, message: T) -> anyhow::Result<Request<T>> {
        let key = std::fs::read_to_string(self.world.stack.secrets.folder.join("lead.key"))?;
        let tenant = Tenant::for_background(member.id, "test");
        bearer(message, &Signer::from_pem("lead", &key)?.token_for(&tenant)?)
    }

    pub fn leads(&self) -> anyhow::Result<LeadServiceClient<Channel>> {
        Ok(LeadServiceClient::new(self.world.stack.channel("lead", 0)?))
    }

    pub fn quota(&self) -> anyhow::Result<QuotaServiceClient<Channel>> {
        Ok(QuotaServiceClient::new(self.world.stack.channel("quota", 0)?))
    }

    pub fn tenants(&self) -> anyhow::Result<TenantServiceClient<Channel>> {
        Ok(TenantServiceClient::new(self.world.stack.channel("tenant", 0)?))
    }
}

fn bearer<T>(message: T, token: &str) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    request.set_timeout(Duration::from_secs(30));
    Ok(request)
}

/// The refusal of a call that must not get through.
pub fn refusal<T>(answer: Result<T, Status>) -> anyhow::Result<Status> {
    answer.err().context("B got through")
}
