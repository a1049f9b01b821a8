//! TenantService: who the tenants are, what state they are in, which plan they have.

mod host;
mod lifecycle;
mod plan;
mod plan_repo;
mod repo;
mod service;
mod settings;
mod tenant;

use onekeel_api::tenant::tenant_service_server::TenantServiceServer;
use onekeel_server::{Parts, Routed};
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::Routes;

/// The gRPC services of this server, and the work that finishes interrupted changes of plan.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let plans = plan::Plans::new(parts);
    let service = service::Tenants::new(parts, plans.clone());
    let tenants = TenantServiceServer::new(service);
    let tenants = tenants.accept_compressed(Gzip).send_compressed(Gzip);
    Ok(
        Routed::new(Routes::new(tenants), vec!["onekeel.tenant.v1.TenantService"])
            .with_task("tenant.settle_plans", move || plans.clone().finish_interrupted()),
    )
}
