//! The quota server as one would write it first: each Reserve is one UPDATE of the tenant's row in a transaction of its own.
use std::process::ExitCode;

use onekeel_api::quota::quota_service_server::{QuotaService, QuotaServiceServer};
use onekeel_api::quota::{
    AcquireAllowanceRequest, AcquireAllowanceResponse, AcquireAllowancesRequest, AcquireAllowancesResponse,
    AssignPlanRequest, AssignPlanResponse, GetQuotaRequest, GetQuotaResponse, Lease, ListPlansRequest,
    ListPlansResponse, ReleaseReservationRequest, ReleaseReservationResponse, ReserveRequest, ReserveResponse,
    Resource, WatchQuotaRequest, WatchQuotaResponse,
};
use onekeel_api::{ErrorReason, Fault};
use onekeel_server::{Parts, Routed, Services};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Service;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Request, Response, Status};
use uuid::Uuid;

struct Naive(Store);

async fn take(tx: &mut TenantTx, resource: Resource, units: i64) -> Result<(), Fault> {
    let taken = sqlx::query(
        "update quota.usage set reserved = reserved + $3, updated_by = 'naive'
        where client_id = $1 and resource = $2 and used + reserved + $3 <= cap",
    )
    .bind(tx.client_id())
    .bind(resource.name())
    .bind(units)
    .execute(tx.conn())
    .await
    .db()?;
    if taken.rows_affected() == 1 {
        return Ok(());
    }
    Err(Fault::new(ErrorReason::QuotaExceeded, "the limit is reached"))
}

fn only_reserves() -> Status {
    Status::unimplemented("this server only reserves")
}

#[tonic::async_trait]
impl QuotaService for Naive {
    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let tenant = Service::of(&request)?.tenant().clone();
        let mut leases = Vec::new();
        for item in request.into_inner().items {
            let (resource, amount) = (item.resource(), item.max);
            let take = async |tx: &mut TenantTx| take(tx, resource, amount).await;
            self.0.run(&tenant, "naive_reserve", take).await?;
            leases.push(Lease {
                id: Uuid::now_v7().to_string(),
                resource: resource.into(),
                amount,
                expire_time: None,
                ttl: None,
            });
        }
        Ok(Response::new(ReserveResponse { leases }))
    }

    async fn list_plans(&self, _request: Request<ListPlansRequest>) -> Result<Response<ListPlansResponse>, Status> {
        Err(only_reserves())
    }

    async fn assign_plan(&self, _request: Request<AssignPlanRequest>) -> Result<Response<AssignPlanResponse>, Status> {
        Err(only_reserves())
    }

    async fn get_quota(&self, _request: Request<GetQuotaRequest>) -> Result<Response<GetQuotaResponse>, Status> {
        Err(only_reserves())
    }

    type WatchQuotaStream = ReceiverStream<Result<WatchQuotaResponse, Status>>;

    async fn watch_quota(
        &self,
        _request: Request<WatchQuotaRequest>,
    ) -> Result<Response<Self::WatchQuotaStream>, Status> {
        Err(only_reserves())
    }

    async fn release_reservation(
        &self,
        _request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<ReleaseReservationResponse>, Status> {
        Err(only_reserves())
    }

    async fn acquire_allowance(
        &self,
        _request: Request<AcquireAllowanceRequest>,
    ) -> Result<Response<AcquireAllowanceResponse>, Status> {
        Err(only_reserves())
    }

    async fn acquire_allowances(
        &self,
        _request: Request<AcquireAllowancesRequest>,
    ) -> Result<Response<AcquireAllowancesResponse>, Status> {
        Err(only_reserves())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the bootstrap asks for routes that may fail")]
fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let quota = QuotaServiceServer::new(Naive(parts.store.clone()));
    let quota = quota.accept_compressed(Gzip).send_compressed(Gzip);
    Ok(Routed::new(Services::default().with(quota)))
}

fn main() -> ExitCode {
    onekeel_server::main("quota", routes)
}
