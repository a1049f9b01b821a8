//! LeadService: a tenant's leads, each charged against the plan in the transaction that writes it.

#[cfg(test)]
mod anything;
mod batch;
mod fields;
mod filter;
mod import;
mod import_repo;
mod lead;
mod list;
mod newest;
mod purge;
mod repo;
mod service;
mod update;

use onekeel_api::lead::lead_service_server::LeadServiceServer;
use onekeel_server::{Parts, Routed, Services};
use tonic::codec::CompressionEncoding::Gzip;

/// The gRPC services of this server.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let leads = LeadServiceServer::new(service::Leads::new(parts));
    let leads = leads.accept_compressed(Gzip).send_compressed(Gzip);
    let routed = Routed::new(Services::default().with(leads));
    let parts = parts.clone();
    Ok(routed.with_task(purge::TASK, move || purge::purge_deleted(parts.clone())))
}
