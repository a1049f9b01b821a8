//! The table of contents: each method in a few lines.
use onekeel_api::lead::lead_service_server::LeadService;
use onekeel_api::lead::{
    BatchGetLeadsRequest, BatchGetLeadsResponse, CountLeadsRequest, CountLeadsResponse, CreateLeadRequest,
    DeleteLeadRequest, GetLeadRequest, ImportLeadsRequest, ImportLeadsResponse, Lead, ListLeadsRequest,
    ListLeadsResponse, UndeleteLeadRequest, UpdateLeadRequest,
};
use onekeel_api::quota::Resource;
use onekeel_api::{Etag, Fault, LeadId, PageKey, Update};
use onekeel_gate::{ChargeRow, Gate, or_first_result};
use onekeel_server::Parts;
use onekeel_store::{Once, Single, Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response, Status, Streaming};

use crate::batch::Batch;
use crate::import::Import;
use crate::lead::{CACHED, NewLead};
use crate::list::list;
use crate::newest::Newest;
use crate::repo::{self, Charges};
use crate::update::change;

/// Implements LeadService.
pub(crate) struct Leads {
    store: Store,
    gate: Gate,
    page_key: PageKey,
    newest: Newest,
}

impl Leads {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            gate: parts.gate.clone(),
            page_key: parts.page_key.clone(),
            newest: Newest::new(parts.newest_pages_bytes),
        }
    }
}

#[tonic::async_trait]
impl LeadService for Leads {
    async fn create_lead(&self, request: Request<CreateLeadRequest>) -> Result<Response<Lead>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewLead::try_from(request.into_inner())?;
        let write = async |charges: Charges| {
            let insert = async |once: &mut Once| repo::insert(once, &new, charges).await;
            self.store.once(&tenant, "create_lead", repo::constraint, insert).await
        };
        let units = [
            (Resource::Leads, 1),
            (Resource::StorageBytes, new.fields.size().bytes()),
        ];
        let created = self.gate.charged(&tenant, units, write).await;
        let created = created.map(|()| new.shown());
        let lead = or_first_result(created, new.request_id, async |id| {
            let find = async |tx: &mut TenantTx| repo::find_by_request(tx, id).await;
            let found = self.store.run(&tenant, "find_created_lead", find).await?;
            Ok(found.map(Lead::from))
        });
        Ok(Response::new(lead.await?))
    }

    async fn get_lead(&self, request: Request<GetLeadRequest>) -> Result<Response<Lead>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = LeadId::parse("id", &request.get_ref().id)?;
        let read = async || {
            let find = async |single: &mut Single| repo::find(single, id).await;
            let row = self.store.one(&tenant, "get_lead", find).await?;
            Ok(row.map(Lead::from))
        };
        let lead = self.store.cache().read(&tenant, &CACHED, &id.to_string(), read).await?;
        Ok(Response::new(lead.ok_or_else(Fault::not_found)?))
    }

    async fn batch_get_leads(
        &self,
        request: Request<BatchGetLeadsRequest>,
    ) -> Result<Response<BatchGetLeadsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let batch = Batch::try_from(request.into_inner())?;
        let read = async |tx: &mut TenantTx| batch.read(tx).await;
        Ok(Response::new(self.store.run(&tenant, "batch_get_leads", read).await?))
    }

    async fn update_lead(&self, request: Request<UpdateLeadRequest>) -> Result<Response<Lead>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.into_inner();
        let update = Update::read("lead", wish.lead, wish.update_mask)?;
        let write = async |bytes: Option<ChargeRow>| {
            let change = async |tx: &mut TenantTx| change(tx, update.clone(), bytes).await;
            self.store.run(&tenant, "update_lead", change).await
        };
        Ok(Response::new(self.gate.resized(&tenant, write).await?.into()))
    }

    async fn delete_lead(&self, request: Request<DeleteLeadRequest>) -> Result<Response<()>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.get_ref();
        let (id, etag) = (LeadId::parse("id", &wish.id)?, Etag::read(&wish.etag)?);
        let delete = async |tx: &mut TenantTx| repo::delete(tx, id, etag).await;
        self.store.run(&tenant, "delete_lead", delete).await?;
        Ok(Response::new(()))
    }

    async fn undelete_lead(&self, request: Request<UndeleteLeadRequest>) -> Result<Response<Lead>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = LeadId::parse("id", &request.get_ref().id)?;
        let size = async |tx: &mut TenantTx| repo::deleted_size(tx, id).await;
        let size = self.store.run(&tenant, "read_deleted_lead", size).await?;
        let write = async |charges: Charges| {
            let undelete = async |tx: &mut TenantTx| repo::undelete(tx, id, charges).await;
            self.store.run(&tenant, "undelete_lead", undelete).await
        };
        let units = [(Resource::Leads, 1), (Resource::StorageBytes, size)];
        Ok(Response::new(self.gate.charged(&tenant, units, write).await?.into()))
    }

    async fn list_leads(&self, request: Request<ListLeadsRequest>) -> Result<Response<ListLeadsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let page = list(&self.store, &self.newest, &self.page_key, &tenant, &request);
        Ok(page.await?)
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
