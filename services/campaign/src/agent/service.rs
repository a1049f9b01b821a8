//! AgentService, each method in a few lines.
use onekeel_api::campaign::agent_service_server::AgentService;
use onekeel_api::campaign::{
    Agent, CreateAgentRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest, ListAgentsResponse,
    UndeleteAgentRequest, UpdateAgentRequest,
};
use onekeel_api::quota::Resource;
use onekeel_api::{AgentId, Etag, Fault, PageKey, Update, Violations};
use onekeel_gate::{ChargeRow, Gate, Resized, or_first_result};
use onekeel_server::Parts;
use onekeel_store::{Single, Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response, Status};

use super::repo::{self, Charges};
use super::{AgentRow, Fields, NewAgent};

/// Implements AgentService.
pub(crate) struct Agents {
    store: Store,
    gate: Gate,
    page_key: PageKey,
}

impl Agents {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            gate: parts.gate.clone(),
            page_key: parts.page_key.clone(),
        }
    }
}

/// Locks the agent, lays the named fields over it, checks the whole and writes it.
async fn change(
    tx: &mut TenantTx,
    update: Update<Agent>,
    bytes: Option<ChargeRow>,
) -> Result<Resized<AgentRow>, Fault> {
    let id = AgentId::from(update.id);
    let row = repo::lock(tx, id).await?;
    update.etag.check(row.version)?;
    let mut wrong = Violations::new();
    let fields = Fields::check(update.over(row.clone().into()), &mut wrong);
    wrong.into_result()?;
    repo::update(tx, &row, &fields, bytes).await
}

#[tonic::async_trait]
impl AgentService for Agents {
    async fn create_agent(&self, request: Request<CreateAgentRequest>) -> Result<Response<Agent>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewAgent::try_from(request.into_inner())?;
        let write = async |charges: Charges| {
            let insert = async |tx: &mut TenantTx| repo::insert(tx, &new, charges).await;
            self.store.run(&tenant, "create_agent", insert).await
        };
        let units = [
            (Resource::Agents, 1),
            (Resource::StorageBytes, new.fields.size().bytes()),
        ];
        let created = self.gate.charged(&tenant, units, write).await;
        let row = or_first_result(created, new.request_id, async |id| {
            let find = async |tx: &mut TenantTx| repo::find_by_request(tx, id).await;
            self.store.run(&tenant, "find_created_agent", find).await
        });
        Ok(Response::new(row.await?.into()))
    }

    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<Agent>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = AgentId::parse("id", &request.get_ref().id)?;
        let find = async |single: &mut Single| repo::find(single, id).await;
        let row = self.store.one(&tenant, "get_agent", find).await?;
        Ok(Response::new(row.ok_or_else(Fault::not_found)?.into()))
    }

    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Result<Response<ListAgentsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.get_ref();
        let page = self
            .page_key
            .page(tenant.id(), "ListAgents", wish.page_size, &wish.page_token)?;
        let read = async |tx: &mut TenantTx| repo::list(tx, &page).await;
        let rows = self.store.run(&tenant, "list_agents", read).await?;
        let (rows, next_page_token) = page.finish(rows, |row| row.id.into_bytes());
        Ok(Response::new(ListAgentsResponse {
            agents: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn update_agent(&self, request: Request<UpdateAgentRequest>) -> Result<Response<Agent>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.into_inner();
        let update = Update::read("agent", wish.agent, wish.update_mask)?;
        let write = async |bytes: Option<ChargeRow>| {
            let change = async |tx: &mut TenantTx| change(tx, update.clone(), bytes).await;
            self.store.run(&tenant, "update_agent", change).await
        };
        Ok(Response::new(self.gate.resized(&tenant, write).await?.into()))
    }

    async fn delete_agent(&self, request: Request<DeleteAgentRequest>) -> Result<Response<()>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.get_ref();
        let (id, etag) = (AgentId::parse("id", &wish.id)?, Etag::read(&wish.etag)?);
        let delete = async |tx: &mut TenantTx| repo::delete(tx, id, etag).await;
        self.store.run(&tenant, "delete_agent", delete).await?;
        Ok(Response::new(()))
    }

    async fn undelete_agent(&self, request: Request<UndeleteAgentRequest>) -> Result<Response<Agent>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = AgentId::parse("id", &request.get_ref().id)?;
        let size = async |tx: &mut TenantTx| repo::deleted_size(tx, id).await;
        let size = self.store.run(&tenant, "read_deleted_agent", size).await?;
        let write = async |charges: Charges| {
            let undelete = async |tx: &mut TenantTx| repo::undelete(tx, id, charges).await;
            self.store.run(&tenant, "undelete_agent", undelete).await
        };
        let units = [(Resource::Agents, 1), (Resource::StorageBytes, size)];
        Ok(Response::new(self.gate.charged(&tenant, units, write).await?.into()))
    }
}
