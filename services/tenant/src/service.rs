//! The table of contents: each method in a few lines.
use onekeel_api::tenant::tenant_service_server::TenantService;
use onekeel_api::tenant::{
    ChangePlanRequest, CreateTenantRequest, GetTenantContextRequest, GetTenantRequest, ReactivateTenantRequest,
    SuspendTenantRequest, Tenant as TenantMessage, TenantContext,
};
use onekeel_api::{ClientId, Fault, Violations};
use onekeel_server::Parts;
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::{Caller, Platform, Service, Tenant};
use tonic::{Request, Response, Status};

use crate::plan::Plans;
use crate::repo::{self, Created};
use crate::tenant::{NewTenant, check_plan};

/// Implements TenantService.
pub(crate) struct Tenants {
    store: Store,
    plans: Plans,
}

impl Tenants {
    pub fn new(parts: &Parts, plans: Plans) -> Self {
        Self {
            store: parts.store.clone(),
            plans,
        }
    }

    async fn set_state(&self, tenant: &Tenant, state: &'static str) -> Result<Response<TenantMessage>, Status> {
        let change = async |tx: &mut TenantTx| repo::set_state(tx, state).await;
        self.store.run(tenant, "set_tenant_state", change).await?;
        Ok(Response::new(self.plans.read(tenant).await?.into()))
    }
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn create_tenant(&self, request: Request<CreateTenantRequest>) -> Result<Response<TenantMessage>, Status> {
        let platform = Platform::of(&request)?;
        let new = NewTenant::try_from(request.into_inner())?;
        let mut tenant = platform.act_for(new.id);
        let insert = async |tx: &mut TenantTx| repo::insert(tx, &new).await;
        if let Created::Before(id) = self.store.run(&tenant, "create_tenant", insert).await? {
            tenant = platform.act_for(id);
        }
        Ok(Response::new(self.plans.settle(&tenant).await?.into()))
    }

    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Result<Response<TenantMessage>, Status> {
        let tenant = match Caller::of(&request)? {
            Caller::Platform(platform) => platform.act_for(ClientId::parse("id", &request.get_ref().id)?),
            Caller::Tenant(tenant) => own(tenant, &request.get_ref().id)?,
            Caller::Service(_) => return Err(Fault::permission_denied().into()),
        };
        Ok(Response::new(self.plans.read(&tenant).await?.into()))
    }

    async fn change_plan(&self, request: Request<ChangePlanRequest>) -> Result<Response<TenantMessage>, Status> {
        let platform = Platform::of(&request)?;
        let wish = request.into_inner();
        let tenant = platform.act_for(ClientId::parse("id", &wish.id)?);
        let mut wrong = Violations::new();
        check_plan(&mut wrong, &wish.plan);
        wrong.into_result()?;
        let begin = async |tx: &mut TenantTx| repo::begin_plan(tx, &wish.plan, wish.allow_overage).await;
        self.store.run(&tenant, "change_plan", begin).await?;
        Ok(Response::new(self.plans.settle(&tenant).await?.into()))
    }

    async fn suspend_tenant(&self, request: Request<SuspendTenantRequest>) -> Result<Response<TenantMessage>, Status> {
        let id = ClientId::parse("id", &request.get_ref().id)?;
        self.set_state(&Platform::of(&request)?.act_for(id), "suspended").await
    }

    async fn reactivate_tenant(
        &self,
        request: Request<ReactivateTenantRequest>,
    ) -> Result<Response<TenantMessage>, Status> {
        let id = ClientId::parse("id", &request.get_ref().id)?;
        self.set_state(&Platform::of(&request)?.act_for(id), "active").await
    }

    async fn get_tenant_context(
        &self,
        request: Request<GetTenantContextRequest>,
    ) -> Result<Response<TenantContext>, Status> {
        let row = self.plans.read(Service::of(&request)?.tenant()).await?;
        let state = row.state().into();
        let plan = row.plan.unwrap_or_default();
        Ok(Response::new(TenantContext { state, plan }))
    }
}

/// A tenant's user sees its own tenant; any other id, there or not, gets the same answer.
fn own(tenant: Tenant, id: &str) -> Result<Tenant, Fault> {
    if id.is_empty() || ClientId::parse("id", id)? == tenant.id() {
        return Ok(tenant);
    }
    Err(Fault::not_found())
}
