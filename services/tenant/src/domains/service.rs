//! DomainService, in a few lines.
use std::sync::Arc;

use onekeel_api::tenant::domain_service_server::DomainService;
use onekeel_api::tenant::{
    AddDomainRequest, Domain, ListDomainsRequest, ListDomainsResponse, RemoveDomainRequest, VerifyDomainRequest,
};
use onekeel_api::{Fault, Violations};
use onekeel_server::Parts;
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::domain::{DomainRow, NewDomain};
use super::repo;
use super::txt::Texts;
use crate::host::HostRules;

/// Implements DomainService.
pub(crate) struct Domains {
    store: Store,
    rules: Arc<HostRules>,
    texts: Texts,
}

impl Domains {
    pub fn new(parts: &Parts, rules: Arc<HostRules>) -> Self {
        Self {
            store: parts.store.clone(),
            rules,
            texts: Texts::new(parts.dns_server),
        }
    }
}

fn id_of(text: &str) -> Result<Uuid, Fault> {
    let mut wrong = Violations::new();
    let id = wrong.uuid("id", text);
    wrong.into_result().map(|()| id)
}

#[tonic::async_trait]
impl DomainService for Domains {
    async fn add_domain(&self, request: Request<AddDomainRequest>) -> Result<Response<Domain>, Status> {
        let tenant = Tenant::of(&request)?;
        let new = NewDomain::read(request.get_ref(), &self.rules)?;
        let insert = async |tx: &mut TenantTx| repo::insert(tx, &new).await;
        let row = self.store.run(&tenant, "add_domain", insert).await?;
        Ok(Response::new(row.shown()))
    }

    async fn verify_domain(&self, request: Request<VerifyDomainRequest>) -> Result<Response<Domain>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = id_of(&request.get_ref().id)?;
        let find = async |tx: &mut TenantTx| repo::hold(tx, id).await;
        let row = self.store.run(&tenant, "find_domain", find).await?;
        // Outside of any transaction: DNS may take seconds.
        if row.verified_at.is_none() && !row.is_proved_by(&self.texts.at(&row.txt_name()).await?) {
            return Err(row.unproved().into());
        }
        let confirm = async |tx: &mut TenantTx| repo::confirm(tx, id).await;
        let row = self.store.run(&tenant, "verify_domain", confirm).await?;
        Ok(Response::new(row.shown()))
    }

    async fn list_domains(
        &self,
        request: Request<ListDomainsRequest>,
    ) -> Result<Response<ListDomainsResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        let rows = self.store.one(&tenant, "list_domains", repo::list).await?;
        let domains = rows.iter().map(DomainRow::shown).collect();
        Ok(Response::new(ListDomainsResponse { domains }))
    }

    async fn remove_domain(&self, request: Request<RemoveDomainRequest>) -> Result<Response<()>, Status> {
        let tenant = Tenant::of(&request)?;
        let id = id_of(&request.get_ref().id)?;
        let remove = async |tx: &mut TenantTx| repo::remove(tx, id).await;
        self.store.run(&tenant, "remove_domain", remove).await?;
        Ok(Response::new(()))
    }
}
