//! ApiKeyService, in a few lines.
use std::sync::Arc;

use onekeel_api::tenant::api_key_service_server::ApiKeyService;
use onekeel_api::tenant::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, ExchangeApiKeyRequest, ExchangeApiKeyResponse,
    ListApiKeysRequest, ListApiKeysResponse, RevokeApiKeyRequest, RotateApiKeyRequest, RotateApiKeyResponse,
};
use onekeel_api::{Fault, Violations};
use onekeel_server::Parts;
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::exchange::Exchange;
use super::key::{KeyRow, NewKey, overlap_of};
use super::repo;
use super::secret::NewSecret;
use super::uses::Uses;

/// Implements ApiKeyService.
pub(crate) struct ApiKeys {
    store: Store,
    exchange: Exchange,
    uses: Arc<Uses>,
}

impl ApiKeys {
    pub fn new(parts: &Parts) -> Self {
        let uses = Arc::<Uses>::default();
        Self {
            store: parts.store.clone(),
            exchange: Exchange::new(parts, uses.clone()),
            uses,
        }
    }

    /// The work that writes down when keys were used.
    pub fn uses(&self) -> Arc<Uses> {
        self.uses.clone()
    }
}

fn id_of(text: &str) -> Result<Uuid, Fault> {
    let mut wrong = Violations::new();
    let id = wrong.uuid("id", text);
    wrong.into_result().map(|()| id)
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeys {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewKey::read(request.get_ref(), tenant.permissions())?;
        let (secret, creator) = (NewSecret::make()?, tenant.user().as_str());
        let insert = async |tx: &mut TenantTx| repo::insert(tx, &new, &secret, creator).await;
        let row = self.store.run(&tenant, "create_api_key", insert).await?;
        let (key, secret) = (Some(row.shown()), secret.into_text());
        Ok(Response::new(CreateApiKeyResponse { key, secret }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let rows = self.store.one(&tenant, "list_api_keys", repo::list).await?;
        let keys = rows.iter().map(KeyRow::shown).collect();
        Ok(Response::new(ListApiKeysResponse { keys }))
    }

    async fn rotate_api_key(
        &self,
        request: Request<RotateApiKeyRequest>,
    ) -> Result<Response<RotateApiKeyResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let (id, overlap) = (id_of(&request.get_ref().id)?, overlap_of(request.get_ref())?);
        let (secret, caller) = (NewSecret::make()?, tenant.permissions());
        let rotate = async |tx: &mut TenantTx| repo::rotate(tx, id, &secret, overlap, caller).await;
        let row = self.store.run(&tenant, "rotate_api_key", rotate).await?;
        let (key, secret) = (Some(row.shown()), secret.into_text());
        Ok(Response::new(RotateApiKeyResponse { key, secret }))
    }

    async fn revoke_api_key(&self, request: Request<RevokeApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = id_of(&request.get_ref().id)?;
        let revoke = async |tx: &mut TenantTx| repo::revoke(tx, id).await;
        let row = self.store.run(&tenant, "revoke_api_key", revoke).await?;
        Ok(Response::new(row.shown()))
    }

    async fn exchange_api_key(
        &self,
        request: Request<ExchangeApiKeyRequest>,
    ) -> Result<Response<ExchangeApiKeyResponse>, Status> {
        let shown = &request.get_ref().api_key;
        if shown.is_empty() {
            return Err(Fault::invalid("api_key", "must be the secret of an API key").into());
        }
        Ok(Response::new(self.exchange.give(shown).await?))
    }
}
