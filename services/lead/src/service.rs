//! The table of contents: each method in a few lines.
use onekeel_api::lead::lead_service_server::LeadService;
use onekeel_api::lead::{
    CountLeadsRequest, CountLeadsResponse, CreateLeadRequest, DeleteLeadRequest, GetLeadRequest, ImportLeadsRequest,
    ImportLeadsResponse, Lead, ListLeadsRequest, ListLeadsResponse, UpdateLeadRequest,
};
use onekeel_api::quota::Resource;
use onekeel_api::{ErrorReason, Fault, LeadId, PageKey};
use onekeel_gate::{ChargeRow, Gate};
use onekeel_server::Parts;
use onekeel_store::{Single, Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response, Status, Streaming};

use crate::import::Import;
use crate::lead::{LeadRow, NewLead, version};
use crate::list::{Page, list};
use crate::repo;
use crate::update::Update;

/// Implements LeadService.
pub(crate) struct Leads {
    store: Store,
    gate: Gate,
    page_key: PageKey,
}

impl Leads {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            gate: parts.gate.clone(),
            page_key: parts.page_key.clone(),
        }
    }

    /// A retry gets the first result, also when the limit is full by now.
    async fn first_result(&self, tenant: &Tenant, new: &NewLead, fault: Fault) -> Result<LeadRow, Fault> {
        let retried = fault.reason() == ErrorReason::QuotaExceeded || fault.fact_value("field") == Some("request_id");
        let Some(request_id) = new.request_id.filter(|_| retried) else {
            return Err(fault);
        };
        let find = async |tx: &mut TenantTx| repo::find_by_request(tx, request_id).await;
        self.store.run(tenant, "find_created_lead", find).await?.ok_or(fault)
    }
}

#[tonic::async_trait]
impl LeadService for Leads {
    async fn create_lead(&self, request: Request<CreateLeadRequest>) -> Result<Response<Lead>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewLead::try_from(request.into_inner())?;
        let write = async |charge: ChargeRow| {
            let insert = async |tx: &mut TenantTx| repo::insert(tx, &new, charge).await;
            self.store.run(&tenant, "create_lead", insert).await
        };
        let row = match self.gate.charged(&tenant, Resource::Leads, write).await {
            Ok(row) => row,
            Err(fault) => self.first_result(&tenant, &new, fault).await?,
        };
        Ok(Response::new(row.into()))
    }

    async fn get_lead(&self, request: Request<GetLeadRequest>) -> Result<Response<Lead>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = LeadId::parse("id", &request.get_ref().id)?;
        let find = async |single: &mut Single| repo::find(single, id).await;
        let row = self.store.one(&tenant, "get_lead", find).await?;
        Ok(Response::new(row.ok_or_else(Fault::not_found)?.into()))
    }

    async fn update_lead(&self, request: Request<UpdateLeadRequest>) -> Result<Response<Lead>, Status> {
        let tenant = Tenant::of(&request)?;
        let update = Update::try_from(request.into_inner())?;
        let run = async |tx: &mut TenantTx| update.clone().run(tx).await;
        Ok(Response::new(self.store.run(&tenant, "update_lead", run).await?.into()))
    }

    async fn delete_lead(&self, request: Request<DeleteLeadRequest>) -> Result<Response<()>, Status> {
        let tenant = Tenant::of(&request)?;
        let request = request.into_inner();
        let (id, version) = (LeadId::parse("id", &request.id)?, version(&request.etag)?);
        let delete = async |tx: &mut TenantTx| repo::delete(tx, id, version).await;
        self.store.run(&tenant, "delete_lead", delete).await?;
        Ok(Response::new(()))
    }

    async fn list_leads(&self, request: Request<ListLeadsRequest>) -> Result<Response<ListLeadsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let page = Page::new(request.get_ref(), &self.page_key, &tenant)?;
        Ok(Response::new(list(&self.store, &self.page_key, &tenant, page).await?))
    }

    async fn count_leads(&self, request: Request<CountLeadsRequest>) -> Result<Response<CountLeadsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let count = self
            .store
            .one(&tenant, "count_leads", async |single: &mut Single| {
                repo::count(single).await
            })
            .await?;
        Ok(Response::new(CountLeadsResponse { count }))
    }

    async fn import_leads(
        &self,
        request: Request<Streaming<ImportLeadsRequest>>,
    ) -> Result<Response<ImportLeadsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let import = Import::new(self.store.clone(), self.gate.clone(), tenant);
        Ok(Response::new(import.run(request.into_inner()).await?))
    }
}
