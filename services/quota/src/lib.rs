//! QuotaService: the only authority for plans, limits and what is used of them.

mod allowance;
mod ample;
mod assign;
mod batch;
mod caps;
mod catalogue;
mod grant;
mod lease;
mod limits;
mod rate;
mod reckoning;
mod report;
mod reserve;
mod room;
mod service;
mod settle;
mod sweep;
mod together;
mod usage;
mod watch;
mod wish;

use std::sync::Arc;

use onekeel_api::quota::limit_service_server::LimitServiceServer;
use onekeel_api::quota::quota_service_server::QuotaServiceServer;
use onekeel_api::quota::usage_service_server::UsageServiceServer;
use onekeel_server::{Parts, Routed, Services};
use tonic::codec::CompressionEncoding::Gzip;

/// The gRPC services of this server, and its background work.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let service = Arc::new(service::Quota::new(parts)?);
    let (sweeper, allowances) = (service.sweeper(), service.allowances());
    let limits = LimitServiceServer::new(service.limits());
    let limits = limits.accept_compressed(Gzip).send_compressed(Gzip);
    let quota = QuotaServiceServer::from_arc(service);
    let quota = quota.accept_compressed(Gzip).send_compressed(Gzip);
    let usage = UsageServiceServer::new(report::Reports::new(parts));
    let usage = usage.accept_compressed(Gzip).send_compressed(Gzip);
    let services = Services::default().with(quota).with(limits).with(usage);
    Ok(Routed::new(services)
        .with_task("quota.sweep", move || sweeper.clone().run())
        .with_task(rate::TASK, move || allowance::hear_of_changes(allowances.clone())))
}
