//! The table of contents: each method in a few lines.
use std::sync::Arc;
use std::time::{Duration, Instant};

use onekeel_api::Fault;
use onekeel_api::LeaseId;
use onekeel_api::quota::quota_service_server::QuotaService;
use onekeel_api::quota::{
    AcquireAllowanceRequest, AcquireAllowanceResponse, AcquireAllowancesRequest, AcquireAllowancesResponse,
    AssignPlanRequest, AssignPlanResponse, GetQuotaRequest, GetQuotaResponse, ListPlansRequest, ListPlansResponse,
    ReleaseReservationRequest, ReleaseReservationResponse, ReserveRequest, ReserveResponse, Resource,
    WatchQuotaRequest, WatchQuotaResponse,
};
use onekeel_server::Parts;
use onekeel_store::Store;
use onekeel_tenancy::{Service, Tenant, Verifier};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::allowance::{Allowances, Wish as AllowanceWish};
use crate::batch::Batches;
use crate::limits::Limits;
use crate::reserve::reserve;
use crate::room::Rooms;
use crate::settle::{Settled, settle};
use crate::sweep::{HotTenants, Sweeper};
use crate::watch::Watches;
use crate::wish::Wish;
use crate::{assign, catalogue, together, usage};

/// Implements QuotaService.
pub(crate) struct Quota {
    store: Store,
    batches: Batches,
    rooms: Arc<Rooms>,
    allowances: Arc<Allowances>,
    hot: HotTenants,
    watches: Watches,
    verifier: Arc<Verifier>,
}

impl Quota {
    pub fn new(parts: &Parts) -> anyhow::Result<Self> {
        let allowances = Allowances::new(parts.store.clone(), parts.redis_url.expose(), parts.replicas)?;
        Ok(Self {
            store: parts.store.clone(),
            batches: Batches::new(parts.store.clone()),
            rooms: Arc::new(Rooms::new(parts.store.clone())),
            allowances: Arc::new(allowances),
            hot: HotTenants::new(),
            watches: Watches::new(parts.store.clone(), parts.draining.clone()),
            verifier: parts.verifier.clone(),
        })
    }

    /// What operators do, on the same lanes and caches.
    pub fn limits(&self) -> Limits {
        Limits::new(self.store.clone(), self.rooms.clone(), self.allowances.clone())
    }

    pub fn allowances(&self) -> Arc<Allowances> {
        self.allowances.clone()
    }

    pub fn sweeper(&self) -> Sweeper {
        Sweeper::new(self.store.clone(), self.hot.clone())
    }
}

#[tonic::async_trait]
impl QuotaService for Quota {
    async fn list_plans(&self, _request: Request<ListPlansRequest>) -> Result<Response<ListPlansResponse>, Status> {
        let plans = catalogue::list(&self.store).await?;
        Ok(Response::new(ListPlansResponse { plans }))
    }

    async fn assign_plan(&self, request: Request<AssignPlanRequest>) -> Result<Response<AssignPlanResponse>, Status> {
        let tenant = Service::of(&request)?.tenant().clone();
        let wish = request.into_inner();
        let plan = assign::assign(&self.store, &self.rooms, &tenant, &wish.plan, wish.allow_overage).await?;
        self.allowances.forget(&tenant);
        if wish.allow_overage {
            // Nobody examined what leases hold above the new caps.
            for resource in Resource::ALL {
                self.rooms.settle_above(&tenant, resource).await?;
            }
        }
        Ok(Response::new(plan))
    }

    async fn get_quota(&self, request: Request<GetQuotaRequest>) -> Result<Response<GetQuotaResponse>, Status> {
        let tenant = Tenant::of(&request)?;
        Ok(Response::new(usage::read(&self.store, &tenant).await?))
    }

    type WatchQuotaStream = ReceiverStream<Result<WatchQuotaResponse, Status>>;

    async fn watch_quota(
        &self,
        request: Request<WatchQuotaRequest>,
    ) -> Result<Response<Self::WatchQuotaStream>, Status> {
        let tenant = Tenant::of(&request)?;
        Ok(Response::new(self.watches.start(tenant).await?))
    }

    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let tenant = Service::of(&request)?.tenant().clone();
        let wish = Wish::try_from(request.into_inner())?;
        let began = Instant::now();
        let granted = reserve(&self.batches, &self.rooms, &tenant, wish).await;
        note_reserve(began, granted.as_ref().err());
        let leases = granted?;
        for lease in &leases {
            let life = lease.ttl.and_then(|ttl| Duration::try_from(ttl).ok());
            self.hot.note(&tenant, life.unwrap_or_default());
        }
        Ok(Response::new(ReserveResponse { leases }))
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<ReleaseReservationResponse>, Status> {
        let tenant = Service::of(&request)?.tenant().clone();
        let lease = LeaseId::parse("id", &request.into_inner().id)?;
        let charged = match settle(&self.store, &tenant, lease.uuid()).await? {
            Settled::Ended { charged } => charged,
            // Calls still hold it; the sweeper ends it when they have ended.
            Settled::InUse | Settled::Gone => 0,
        };
        Ok(Response::new(ReleaseReservationResponse { charged }))
    }

    async fn acquire_allowance(
        &self,
        request: Request<AcquireAllowanceRequest>,
    ) -> Result<Response<AcquireAllowanceResponse>, Status> {
        let tenant = Service::of(&request)?.tenant().clone();
        let wish = AllowanceWish::try_from(request.into_inner())?;
        let granted: Result<_, Fault> = self.allowances.acquire(&tenant, wish).await;
        Ok(Response::new(granted?))
    }

    async fn acquire_allowances(
        &self,
        request: Request<AcquireAllowancesRequest>,
    ) -> Result<Response<AcquireAllowancesResponse>, Status> {
        let caller = Service::of(&request)?;
        let granted = together::acquire(&self.allowances, &self.verifier, &caller, request.into_inner());
        Ok(Response::new(granted.await?))
    }
}

fn note_reserve(began: Instant, refused: Option<&Fault>) {
    let outcome = refused.map_or("GRANTED", |fault| fault.reason().name());
    metrics::histogram!("onekeel_quota_reserve_seconds", "outcome" => outcome).record(began.elapsed());
}
