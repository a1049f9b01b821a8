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
use tonic::service::Routes;

/// The gRPC services of this server.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let routes = Routes::new(LeadServiceServer::new(service::Leads::new(parts)));
    Ok(Routed::new(routes, vec!["onekeel.lead.v1.LeadService"]))
}
