//! ConversationService, each method in a few lines.
use onekeel_api::campaign::conversation_service_server::ConversationService;
use onekeel_api::campaign::{
    AppendMessageRequest, Conversation, GetConversationRequest, ListConversationsRequest, ListConversationsResponse,
    ListMessagesRequest, ListMessagesResponse, Message, StartConversationRequest,
};
use onekeel_api::quota::Resource;
use onekeel_api::{ConversationId, Fault, LeadId, PageKey};
use onekeel_gate::{ChargeRow, Gate, or_first_result};
use onekeel_server::Parts;
use onekeel_store::{Single, Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response, Status};

use super::{NewConversation, NewMessage, repo};

/// Implements ConversationService.
pub(crate) struct Conversations {
    store: Store,
    gate: Gate,
    page_key: PageKey,
}

impl Conversations {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            gate: parts.gate.clone(),
            page_key: parts.page_key.clone(),
        }
    }
}

#[tonic::async_trait]
impl ConversationService for Conversations {
    async fn start_conversation(
        &self,
        request: Request<StartConversationRequest>,
    ) -> Result<Response<Conversation>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewConversation::try_from(request.into_inner())?;
        let write = async |[bytes]: [ChargeRow; 1]| {
            let insert = async |tx: &mut TenantTx| repo::insert(tx, &new, bytes).await;
            self.store.run(&tenant, "start_conversation", insert).await
        };
        let units = [(Resource::StorageBytes, NewConversation::size().bytes())];
        let started = self.gate.charged(&tenant, units, write).await;
        let row = or_first_result(started, new.request_id, async |id| {
            let find = async |tx: &mut TenantTx| repo::find_by_request(tx, id).await;
            self.store.run(&tenant, "find_started_conversation", find).await
        });
        Ok(Response::new(row.await?.into()))
    }

    async fn get_conversation(
        &self,
        request: Request<GetConversationRequest>,
    ) -> Result<Response<Conversation>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = ConversationId::parse("id", &request.get_ref().id)?;
        let find = async |single: &mut Single| repo::find(single, id).await;
        let row = self.store.one(&tenant, "get_conversation", find).await?;
        Ok(Response::new(row.ok_or_else(Fault::not_found)?.into()))
    }

    async fn list_conversations(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.get_ref();
        let lead = LeadId::parse("lead_id", &wish.lead_id)?;
        let scope = format!("ListConversations?lead_id={lead}");
        let page = self
            .page_key
            .page(tenant.id(), scope, wish.page_size, &wish.page_token)?;
        let read = async |tx: &mut TenantTx| repo::list_of_lead(tx, lead, &page).await;
        let rows = self.store.run(&tenant, "list_conversations", read).await?;
        let (rows, next_page_token) = page.finish(rows, |row| row.id.into_bytes());
        Ok(Response::new(ListConversationsResponse {
            conversations: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn append_message(&self, request: Request<AppendMessageRequest>) -> Result<Response<Message>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewMessage::try_from(request.into_inner())?;
        let write = async |[bytes]: [ChargeRow; 1]| {
            let append = async |tx: &mut TenantTx| repo::append(tx, &new, bytes).await;
            self.store.run(&tenant, "append_message", append).await
        };
        let units = [(Resource::StorageBytes, new.size().bytes())];
        let appended = self.gate.charged(&tenant, units, write).await;
        let row = or_first_result(appended, new.request_id, async |id| {
            let find = async |tx: &mut TenantTx| repo::find_message(tx, new.conversation_id, id).await;
            self.store.run(&tenant, "find_appended_message", find).await
        });
        Ok(Response::new(row.await?.into()))
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let wish = request.get_ref();
        let id = ConversationId::parse("conversation_id", &wish.conversation_id)?;
        let scope = format!("ListMessages?conversation_id={id}");
        let page = self
            .page_key
            .page(tenant.id(), scope, wish.page_size, &wish.page_token)?;
        let read = async |tx: &mut TenantTx| repo::list(tx, id, &page).await;
        let rows = self.store.run(&tenant, "list_messages", read).await?;
        let (rows, next_page_token) = page.finish(rows, |row| row.sequence.to_be_bytes());
        Ok(Response::new(ListMessagesResponse {
            messages: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }
}
