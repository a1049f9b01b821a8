//! LeadService: a tenant's leads, each charged against the plan in the transaction that writes it.

mod batch;
mod fields;
mod filter;
mod import;
mod import_repo;
mod lead;
mod list;
mod repo;
mod service;
mod update;

use onekeel_api::lead::lead_service_server::LeadServiceServer;
use onekeel_server::{Parts, Routed};
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::Routes;

/// The gRPC services of this server.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let leads = LeadServiceServer::new(service::Leads::new(parts));
    let leads = leads.accept_compressed(Gzip).send_compressed(Gzip);
    Ok(Routed::new(Routes::new(leads), vec!["onekeel.lead.v1.LeadService"]))
}
