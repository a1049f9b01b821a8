//! LeadService's own voice in QuotaService, without the gate that asks in a server.
use std::sync::Arc;

use onekeel_api::ClientId;
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{Lease, ReleaseReservationRequest, ReserveRequest};
use onekeel_operator::stack::Stack;
use onekeel_tenancy::{Signer, Tenant};
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

/// Calls of QuotaService with LeadService's own token.
#[derive(Clone)]
pub struct Voice {
    quota: QuotaServiceClient<Channel>,
    signer: Arc<Signer>,
}

impl Voice {
    /// Calls the process `replica` of QuotaService.
    pub fn new(stack: &Stack, replica: usize) -> anyhow::Result<Self> {
        let key = std::fs::read_to_string(stack.secrets.folder.join("lead.key"))?;
        Ok(Self {
            quota: QuotaServiceClient::new(stack.channel("quota", replica)?),
            signer: Arc::new(Signer::from_pem("lead", &key)?),
        })
    }

    /// A request in the name of this tenant.
    #[expect(
        clippy::disallowed_methods,
        reason = "a service's signer needs a tenant, and no server is asked for one here"
    )]
    pub fn request<T>(&self, client: ClientId, message: T) -> anyhow::Result<Request<T>> {
        let token = self.signer.token_for(&Tenant::for_background(client, "test"))?;
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }

    /// The leases that were granted.
    pub async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Vec<Lease>, Status> {
        Ok(self.quota.clone().reserve(request).await?.into_inner().leases)
    }

    /// Ends a lease, whoever uses it; returns how many of its units were charged.
    pub async fn release(&self, client: ClientId, lease: Uuid) -> anyhow::Result<i64> {
        let wish = self.request(client, ReleaseReservationRequest { id: lease.to_string() })?;
        Ok(self.quota.clone().release_reservation(wish).await?.into_inner().charged)
    }
}
