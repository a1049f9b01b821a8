//! How this server calls the other ones: as itself, for one tenant, within the caller's deadline. The channel itself
//! carries the trace on.
use std::sync::Arc;
use std::time::Duration;

use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_api::{Deadline, Fault};
use onekeel_tenancy::{Signer, Tenant};
use tonic::body::Body;
use tonic::{Request, Status};
use tower::util::BoxCloneSyncService;

/// A way to another service, with whatever stands around each call.
pub type PeerChannel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// The services that every server may call.
#[derive(Clone)]
pub struct Peers {
    signer: Arc<Signer>,
    quota: QuotaServiceClient<PeerChannel>,
    tenant: TenantServiceClient<PeerChannel>,
}

impl Peers {
    /// Calls go through these channels and carry `signer`'s tokens.
    pub fn new(signer: Arc<Signer>, quota: PeerChannel, tenant: PeerChannel) -> Self {
        Self {
            signer,
            quota: QuotaServiceClient::new(quota),
            tenant: TenantServiceClient::new(tenant),
        }
    }

    /// QuotaService.
    pub fn quota(&self) -> QuotaServiceClient<PeerChannel> {
        self.quota.clone()
    }

    /// TenantService.
    pub fn tenant(&self) -> TenantServiceClient<PeerChannel> {
        self.tenant.clone()
    }

    /// The token with which this server acts for `tenant`.
    pub(crate) fn token_for(&self, tenant: &Tenant) -> Result<Arc<str>, Fault> {
        self.signer.token_for(tenant)
    }

    /// A request that acts for `tenant` and waits for `longest` at most, or until the present call's deadline.
    pub fn request<T>(&self, tenant: &Tenant, message: T, longest: Duration) -> Result<Request<T>, Fault> {
        let left = Deadline::remaining_or(longest);
        if left.is_zero() {
            return Err(Fault::deadline_exceeded());
        }
        let mut request = Request::new(message);
        request.set_timeout(left);
        let bearer = format!("Bearer {}", self.signer.token_for(tenant)?);
        let mut bearer: tonic::metadata::MetadataValue<_> = bearer.parse().map_err(Fault::internal)?;
        bearer.set_sensitive(true);
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }
}
