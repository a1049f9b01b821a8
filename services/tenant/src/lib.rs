//! TenantService: who the tenants are, what state they are in, which plan they have. AuditService: what was done in them.
//! AddressService: from where their users call. DomainService: by which domains. ApiKeyService: keys of their programs.

mod addresses;
mod api_keys;
mod audit;
mod context;
mod domains;
mod host;
mod kept;
mod lifecycle;
mod plan;
mod plan_repo;
mod repo;
mod service;
mod settings;
mod tenant;

use std::sync::Arc;

use onekeel_api::tenant::address_service_server::AddressServiceServer;
use onekeel_api::tenant::api_key_service_server::ApiKeyServiceServer;
use onekeel_api::tenant::audit_service_server::AuditServiceServer;
use onekeel_api::tenant::domain_service_server::DomainServiceServer;
use onekeel_api::tenant::tenant_service_server::TenantServiceServer;
use onekeel_gate::KeptContexts;
use onekeel_server::{Page, Parts, Routed, Services};
use onekeel_tenancy::Verifier;
use tonic::codec::CompressionEncoding::Gzip;

/// The gRPC services of this server, and the work that finishes interrupted changes of plan and deletes old events.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let plans = plan::Plans::new(parts);
    let rules = host::HostRules::new(parts.base_domain.clone(), parts.service_hosts.clone());
    let rules = Arc::new(rules);
    let kept = KeptContexts::new(parts.store.clone());
    let service = service::Tenants::new(parts, plans.clone(), kept.clone(), rules.clone());
    let tenants = TenantServiceServer::new(service);
    let tenants = tenants.accept_compressed(Gzip).send_compressed(Gzip);
    let trails = AuditServiceServer::new(audit::Trails::new(parts));
    let trails = trails.accept_compressed(Gzip).send_compressed(Gzip);
    let addresses = AddressServiceServer::new(addresses::Addresses::new(parts, plans.clone()));
    let addresses = addresses.accept_compressed(Gzip).send_compressed(Gzip);
    let domains = DomainServiceServer::new(domains::Domains::new(parts, rules));
    let domains = domains.accept_compressed(Gzip).send_compressed(Gzip);
    let keys = api_keys::ApiKeys::new(parts);
    let uses = keys.uses();
    let keys = ApiKeyServiceServer::new(keys);
    let keys = keys.accept_compressed(Gzip).send_compressed(Gzip);
    let parts = parts.clone();
    let services = Services::default()
        .with(tenants)
        .with(trails)
        .with(addresses)
        .with(domains)
        .with(keys);
    let (key_set, pruned, store) = (key_set(parts.verifier.clone()), parts.clone(), parts.store.clone());
    let followed = (parts.store.clone(), kept.clone());
    let routed = Routed::new(services).with_page(key_set);
    Ok(routed
        .with_task(kept::TASK, move || kept::follow(followed.0.clone(), followed.1.clone()))
        .with_task("tenant.settle_plans", move || plans.clone().finish_interrupted())
        .with_task(api_keys::USES_TASK, move || uses.clone().write_down(store.clone()))
        .with_task(api_keys::PRUNE_TASK, move || api_keys::prune_keys(pruned.clone()))
        .with_task(audit::TASK, move || audit::prune_trails(parts.clone())))
}

/// The public keys of the tokens that are given for API keys, for others who verify them.
fn key_set(verifier: Arc<Verifier>) -> Page {
    Page {
        path: "/.well-known/jwks.json",
        kind: "application/jwk-set+json",
        text: Arc::new(move || Some(verifier.published().ok()?.to_string())),
    }
}
