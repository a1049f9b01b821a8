//! AddressService, in a few lines.
use onekeel_api::Call;
use onekeel_api::tenant::address_service_server::AddressService;
use onekeel_api::tenant::{GetIpAllowlistRequest, IpAllowlist, SetIpAllowlistRequest};
use onekeel_server::Parts;
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::Caller;
use tonic::{Request, Response, Status};

use super::allowlist::NewAllowlist;
use super::repo;
use crate::plan::Plans;

/// Implements AddressService.
pub(crate) struct Addresses {
    store: Store,
    plans: Plans,
}

impl Addresses {
    pub fn new(parts: &Parts, plans: Plans) -> Self {
        Self {
            store: parts.store.clone(),
            plans,
        }
    }
}

#[tonic::async_trait]
impl AddressService for Addresses {
    async fn get_ip_allowlist(&self, request: Request<GetIpAllowlistRequest>) -> Result<Response<IpAllowlist>, Status> {
        let tenant = Caller::of(&request)?.act_in("client_id", &request.get_ref().client_id)?;
        let client = self.plans.read(&tenant).await?.client_id;
        let row = self.store.one(&tenant, "get_ip_allowlist", repo::find).await?;
        Ok(Response::new(row.unwrap_or_default().of(client)))
    }

    async fn set_ip_allowlist(&self, request: Request<SetIpAllowlistRequest>) -> Result<Response<IpAllowlist>, Status> {
        let caller = Caller::of(&request)?;
        let new = NewAllowlist::try_from(request.into_inner())?;
        let tenant = caller.act_in("allowlist.client_id", &new.client_id)?;
        let address = Call::with_current(|call| call.origin().address).flatten();
        new.refuse_lockout(&caller, address)?;
        let set = async |tx: &mut TenantTx| repo::set(tx, &new).await;
        let row = self.store.run(&tenant, "set_ip_allowlist", set).await?;
        Ok(Response::new(row.of(tenant.id().uuid())))
    }
}
