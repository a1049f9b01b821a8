//! The table of contents: each method in a few lines.
use std::sync::Arc;

use onekeel_api::tenant::tenant_service_server::TenantService;
use onekeel_api::tenant::{
    ChangePlanRequest, CheckHostRequest, CheckHostResponse, CreateTenantRequest, DeleteTenantRequest,
    GetTenantContextRequest, GetTenantRequest, GetTenantSettingsRequest, ListTenantChangesRequest,
    ListTenantChangesResponse, ListTenantsRequest, ListTenantsResponse, ReactivateTenantRequest, ResolveTenantRequest,
    SetReadOnlyRequest, SuspendTenantRequest, Tenant as TenantMessage, TenantContext, TenantSettings,
    UndeleteTenantRequest, UpdateTenantRequest, UpdateTenantSettingsRequest,
};
use onekeel_api::{ClientId, Etag, Fault, PageKey, Update, Violations};
use onekeel_gate::KeptContexts;
use onekeel_server::Parts;
use onekeel_store::{Single, Store, TenantTx};
use onekeel_tenancy::{Caller, Platform, Service, Tenant};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::host::HostRules;
use crate::plan::Plans;
use crate::repo::Created;
use crate::tenant::{NewTenant, check_plan};
use crate::{context, host, lifecycle, plan_repo, repo, settings};

/// Implements TenantService.
pub(crate) struct Tenants {
    store: Store,
    plans: Plans,
    kept: KeptContexts,
    page_key: PageKey,
    rules: Arc<HostRules>,
}

/// Pages of tenants belong to the platform and to no tenant.
const PLATFORM: Uuid = Uuid::nil();

impl Tenants {
    pub fn new(parts: &Parts, plans: Plans, kept: KeptContexts, rules: Arc<HostRules>) -> Self {
        Self {
            store: parts.store.clone(),
            plans,
            kept,
            page_key: parts.page_key.clone(),
            rules,
        }
    }

    async fn change<T>(
        &self,
        tenant: &Tenant,
        name: &'static str,
        change: impl AsyncFnOnce(&mut TenantTx) -> Result<T, Fault> + Clone,
    ) -> Result<Response<TenantMessage>, Status> {
        self.store.run(tenant, name, change).await?;
        Ok(Response::new(self.plans.read(tenant).await?.into()))
    }

    async fn set_state(&self, tenant: &Tenant, state: &'static str) -> Result<Response<TenantMessage>, Status> {
        let set = async |tx: &mut TenantTx| lifecycle::set_state(tx, state).await;
        self.change(tenant, "set_tenant_state", set).await
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
        let tenant = Caller::of(&request)?.act_in("id", &request.get_ref().id)?;
        Ok(Response::new(self.plans.read(&tenant).await?.into()))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let wish = request.get_ref();
        let scope = format!("ListTenants?show_deleted={}", wish.show_deleted);
        let page = self
            .page_key
            .page(PLATFORM.into(), scope, wish.page_size, &wish.page_token)?;
        let (after, show_deleted) = (page.after_id()?.unwrap_or_default(), wish.show_deleted);
        let rows = i32::try_from(page.rows()).map_err(Fault::internal)?;
        let list = async |single: &mut Single| repo::list(single, after, rows, show_deleted).await;
        let rows = self.store.catalogue("list_tenants", list).await?;
        let (rows, next_page_token) = page.finish(rows, |row| row.client_id.into_bytes());
        Ok(Response::new(ListTenantsResponse {
            tenants: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn update_tenant(&self, request: Request<UpdateTenantRequest>) -> Result<Response<TenantMessage>, Status> {
        let platform = Platform::of(&request)?;
        let wish = request.into_inner();
        let update = Update::read("tenant", wish.tenant, wish.update_mask)?;
        let tenant = platform.act_for(update.id.into());
        let rename = async |tx: &mut TenantTx| repo::change(tx, update.clone()).await;
        self.change(&tenant, "update_tenant", rename).await
    }

    async fn resolve_tenant(&self, request: Request<ResolveTenantRequest>) -> Result<Response<TenantMessage>, Status> {
        let platform = Platform::of(&request)?;
        let host = host::parse(&request.get_ref().host)?;
        let id = host::find(&self.store, &self.rules, &host).await?;
        let tenant = platform.act_for(id.ok_or_else(Fault::not_found)?.into());
        let row = self.plans.read(&tenant).await?;
        if row.deleted_at.is_some() {
            return Err(Fault::not_found().into());
        }
        Ok(Response::new(row.into()))
    }

    async fn change_plan(&self, request: Request<ChangePlanRequest>) -> Result<Response<TenantMessage>, Status> {
        let platform = Platform::of(&request)?;
        let wish = request.into_inner();
        let tenant = platform.act_for(ClientId::parse("id", &wish.id)?);
        let mut wrong = Violations::new();
        check_plan(&mut wrong, &wish.plan);
        wrong.into_result()?;
        let begin = async |tx: &mut TenantTx| plan_repo::begin_plan(tx, &wish.plan, wish.allow_overage).await;
        self.store.run(&tenant, "change_plan", begin).await?;
        Ok(Response::new(self.plans.settle(&tenant).await?.into()))
    }

    async fn suspend_tenant(&self, request: Request<SuspendTenantRequest>) -> Result<Response<TenantMessage>, Status> {
        let id = ClientId::parse("id", &request.get_ref().id)?;
        self.set_state(&Platform::of(&request)?.act_for(id), "suspended").await
    }

    async fn set_read_only(&self, request: Request<SetReadOnlyRequest>) -> Result<Response<TenantMessage>, Status> {
        let id = ClientId::parse("id", &request.get_ref().id)?;
        self.set_state(&Platform::of(&request)?.act_for(id), "read_only").await
    }

    async fn reactivate_tenant(
        &self,
        request: Request<ReactivateTenantRequest>,
    ) -> Result<Response<TenantMessage>, Status> {
        let id = ClientId::parse("id", &request.get_ref().id)?;
        self.set_state(&Platform::of(&request)?.act_for(id), "active").await
    }

    async fn delete_tenant(&self, request: Request<DeleteTenantRequest>) -> Result<Response<TenantMessage>, Status> {
        let wish = request.get_ref();
        let (id, etag) = (ClientId::parse("id", &wish.id)?, Etag::read(&wish.etag)?);
        let tenant = Platform::of(&request)?.act_for(id);
        let delete = async |tx: &mut TenantTx| lifecycle::delete(tx, etag).await;
        self.change(&tenant, "delete_tenant", delete).await
    }

    async fn undelete_tenant(
        &self,
        request: Request<UndeleteTenantRequest>,
    ) -> Result<Response<TenantMessage>, Status> {
        let id = ClientId::parse("id", &request.get_ref().id)?;
        let tenant = Platform::of(&request)?.act_for(id);
        let undelete = async |tx: &mut TenantTx| lifecycle::undelete(tx).await;
        self.change(&tenant, "undelete_tenant", undelete).await
    }

    async fn get_tenant_settings(
        &self,
        request: Request<GetTenantSettingsRequest>,
    ) -> Result<Response<TenantSettings>, Status> {
        let tenant = Caller::of(&request)?.act_in("id", &request.get_ref().id)?;
        let client = self.plans.read(&tenant).await?.client_id;
        let row = self.store.one(&tenant, "get_tenant_settings", settings::find).await?;
        Ok(Response::new(row.unwrap_or_default().of(client)))
    }

    async fn update_tenant_settings(
        &self,
        request: Request<UpdateTenantSettingsRequest>,
    ) -> Result<Response<TenantSettings>, Status> {
        let caller = Caller::of(&request)?;
        let wish = request.into_inner();
        let id = wish.settings.as_ref().map_or("", |settings| &settings.id);
        let tenant = caller.act_in("settings.id", id)?;
        let update = Update::read_own("settings", wish.settings, wish.update_mask)?;
        let change = async |tx: &mut TenantTx| settings::change(tx, update.clone()).await;
        let row = self.store.run(&tenant, "update_tenant_settings", change).await?;
        Ok(Response::new(row.of(tenant.id().uuid())))
    }

    async fn get_tenant_context(
        &self,
        request: Request<GetTenantContextRequest>,
    ) -> Result<Response<TenantContext>, Status> {
        let service = Service::of(&request)?;
        Ok(Response::new(
            context::read(&self.store, &self.kept, &self.rules, service.tenant()).await?,
        ))
    }

    async fn list_tenant_changes(
        &self,
        request: Request<ListTenantChangesRequest>,
    ) -> Result<Response<ListTenantChangesResponse>, Status> {
        Service::of(&request)?;
        let cursor = request.get_ref().cursor;
        Ok(Response::new(context::changes(&self.store, &self.kept, cursor).await?))
    }

    async fn check_host(&self, request: Request<CheckHostRequest>) -> Result<Response<CheckHostResponse>, Status> {
        let service = Service::of(&request)?;
        let host = host::parse(&request.get_ref().host)?;
        let owner = host::owner(&self.store, &self.rules, &host, service.tenant()).await?;
        Ok(Response::new(CheckHostResponse { owner: owner.into() }))
    }
}
