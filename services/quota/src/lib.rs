//! QuotaService: the only authority for plans, limits and what is used of them.

mod allowance;
mod assign;
mod caps;
mod catalogue;
mod lease;
mod rate;
mod reckoning;
mod reserve;
mod room;
mod service;
mod settle;
mod sweep;
mod usage;

use std::sync::Arc;

use onekeel_api::quota::quota_service_server::QuotaServiceServer;
use onekeel_server::{Parts, Routed};
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::Routes;

/// The gRPC services of this server, and its sweeper.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let service = Arc::new(service::Quota::new(parts)?);
    let sweeper = service.sweeper();
    let quota = QuotaServiceServer::from_arc(service);
    let quota = quota.accept_compressed(Gzip).send_compressed(Gzip);
    Ok(Routed::new(Routes::new(quota), vec!["onekeel.quota.v1.QuotaService"])
        .with_task("quota.sweep", move || sweeper.clone().run()))
}
