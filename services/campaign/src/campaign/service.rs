//! CampaignService, each method in a few lines.
use onekeel_api::campaign::campaign_service_server::CampaignService;
use onekeel_api::campaign::{
    Campaign, CreateCampaignRequest, DeleteCampaignRequest, GetCampaignRequest, ListCampaignsRequest,
    ListCampaignsResponse, UndeleteCampaignRequest, UpdateCampaignRequest,
};
use onekeel_api::quota::Resource;
use onekeel_api::{CampaignId, Etag, Fault, PageKey, Update, Violations};
use onekeel_gate::{ChargeRow, Gate, Resized, or_first_result};
use onekeel_server::Parts;
use onekeel_store::{Single, Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response, Status};

use super::repo::{self, Charges};
use super::{CampaignRow, Fields, NewCampaign};

/// Implements CampaignService.
pub(crate) struct Campaigns {
    store: Store,
    gate: Gate,
    page_key: PageKey,
}

impl Campaigns {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            gate: parts.gate.clone(),
            page_key: parts.page_key.clone(),
        }
    }
}

/// Locks the campaign, lays the named fields over it, checks the whole and writes it.
async fn change(
    tx: &mut TenantTx,
    update: Update<Campaign>,
    bytes: Option<ChargeRow>,
) -> Result<Resized<CampaignRow>, Fault> {
    let id = CampaignId::from(update.id);
    let row = repo::lock(tx, id).await?;
    update.etag.check(row.version)?;
    let mut wrong = Violations::new();
    let fields = Fields::check(update.over(row.clone().into()), &mut wrong);
    wrong.into_result()?;
    repo::update(tx, &row, &fields, bytes).await
}

#[tonic::async_trait]
impl CampaignService for Campaigns {
    async fn create_campaign(&self, request: Request<CreateCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewCampaign::try_from(request.into_inner())?;
        let write = async |charges: Charges| {
            let insert = async |tx: &mut TenantTx| repo::insert(tx, &new, charges).await;
            self.store.run(&tenant, "create_campaign", insert).await
        };
        let units = [
            (Resource::Campaigns, 1),
            (Resource::StorageBytes, new.fields.size().bytes()),
        ];
        let created = self.gate.charged(&tenant, units, write).await;
        let row = or_first_result(created, new.request_id, async |id| {
            let find = async |tx: &mut TenantTx| repo::find_by_request(tx, id).await;
            self.store.run(&tenant, "find_created_campaign", find).await
        });
        Ok(Response::new(row.await?.into()))
    }

    async fn get_campaign(&self, request: Request<GetCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = CampaignId::parse("id", &request.get_ref().id)?;
        let find = async |single: &mut Single| repo::find(single, id).await;
        let row = self.store.one(&tenant, "get_campaign", find).await?;
        Ok(Response::new(row.ok_or_else(Fault::not_found)?.into()))
    }

    async fn list_campaigns(
        &self,
        request: Request<ListCampaignsRequest>,
    ) -> Result<Response<ListCampaignsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.get_ref();
        let page = self
            .page_key
            .page(tenant.id(), "ListCampaigns", wish.page_size, &wish.page_token)?;
        let read = async |tx: &mut TenantTx| repo::list(tx, &page).await;
        let rows = self.store.run(&tenant, "list_campaigns", read).await?;
        let (rows, next_page_token) = page.finish(rows, |row| row.id.into_bytes());
        Ok(Response::new(ListCampaignsResponse {
            campaigns: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn update_campaign(&self, request: Request<UpdateCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.into_inner();
        let update = Update::read("campaign", wish.campaign, wish.update_mask)?;
        let write = async |bytes: Option<ChargeRow>| {
            let change = async |tx: &mut TenantTx| change(tx, update.clone(), bytes).await;
            self.store.run(&tenant, "update_campaign", change).await
        };
        Ok(Response::new(self.gate.resized(&tenant, write).await?.into()))
    }

    async fn delete_campaign(&self, request: Request<DeleteCampaignRequest>) -> Result<Response<()>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.get_ref();
        let (id, etag) = (CampaignId::parse("id", &wish.id)?, Etag::read(&wish.etag)?);
        let delete = async |tx: &mut TenantTx| repo::delete(tx, id, etag).await;
        self.store.run(&tenant, "delete_campaign", delete).await?;
        Ok(Response::new(()))
    }

    async fn undelete_campaign(&self, request: Request<UndeleteCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = CampaignId::parse("id", &request.get_ref().id)?;
        let size = async |tx: &mut TenantTx| repo::deleted_size(tx, id).await;
        let size = self.store.run(&tenant, "read_deleted_campaign", size).await?;
        let write = async |charges: Charges| {
            let undelete = async |tx: &mut TenantTx| repo::undelete(tx, id, charges).await;
            self.store.run(&tenant, "undelete_campaign", undelete).await
        };
        let units = [(Resource::Campaigns, 1), (Resource::StorageBytes, size)];
        Ok(Response::new(self.gate.charged(&tenant, units, write).await?.into()))
    }
}
