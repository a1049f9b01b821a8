//! LimitService: the table of contents. Each method in a few lines.
mod overrides;
mod preview;
mod publish;
mod verify;

use onekeel_api::quota::limit_service_server::LimitService;
use onekeel_api::quota::{
    EndOverridesRequest, EndOverridesResponse, ListOverridesRequest, ListOverridesResponse, Override, Plan,
    PreviewPlanChangeRequest, PreviewPlanChangeResponse, PublishPlanRequest, ReconcileUsageRequest,
    ReconcileUsageResponse, Resource, SetOverrideRequest, VerifyUsageRequest, VerifyUsageResponse,
};
use onekeel_api::{ClientId, Fault, Violations};
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::{Caller, Platform, Tenant};
use tonic::{Request, Response, Status};

use crate::allowance::Allowances;
use crate::room::Rooms;
use overrides::NewOverride;
use publish::NewPlan;

use std::sync::Arc;

/// Implements LimitService.
pub(crate) struct Limits {
    store: Store,
    rooms: Arc<Rooms>,
    allowances: Arc<Allowances>,
}

impl Limits {
    pub fn new(store: Store, rooms: Arc<Rooms>, allowances: Arc<Allowances>) -> Self {
        Self {
            store,
            rooms,
            allowances,
        }
    }

    /// A lower cap is no cap while leases above it are spent: what nobody uses is settled at once.
    async fn put_in_force(&self, tenant: &Tenant, resource: &str) -> Result<(), Fault> {
        self.allowances.forget(tenant);
        match Resource::from_name(resource) {
            Some(resource) => self.rooms.settle_above(tenant, resource).await,
            // Requests a minute are no stock; nothing is held of them.
            None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl LimitService for Limits {
    async fn publish_plan(&self, request: Request<PublishPlanRequest>) -> Result<Response<Plan>, Status> {
        let platform = Platform::of(&request)?.act_for(ClientId::PLATFORM);
        let plan = NewPlan::try_from(request.into_inner())?;
        Ok(Response::new(plan.publish(&self.store, &platform).await?))
    }

    async fn preview_plan_change(
        &self,
        request: Request<PreviewPlanChangeRequest>,
    ) -> Result<Response<PreviewPlanChangeResponse>, Status> {
        let wish = request.get_ref();
        let tenant = Caller::of(&request)?.act_in("client_id", &wish.client_id)?;
        let preview = async |tx: &mut TenantTx| preview::preview(tx, &wish.plan).await;
        Ok(Response::new(self.store.run(&tenant, "preview_plan", preview).await?))
    }

    async fn set_override(&self, request: Request<SetOverrideRequest>) -> Result<Response<Override>, Status> {
        let tenant = named(&request, &request.get_ref().client_id)?;
        let new = NewOverride::try_from(request.into_inner())?;
        let set = async |tx: &mut TenantTx| overrides::set(tx, &new).await;
        let row = self.store.run(&tenant, "set_override", set).await?;
        self.put_in_force(&tenant, &row.resource).await?;
        Ok(Response::new(row.into()))
    }

    async fn end_overrides(
        &self,
        request: Request<EndOverridesRequest>,
    ) -> Result<Response<EndOverridesResponse>, Status> {
        let wish = request.get_ref();
        let tenant = named(&request, &wish.client_id)?;
        let resource = overrides::limited(&wish.resource)?;
        let end = async |tx: &mut TenantTx| overrides::end(tx, resource).await;
        let ended = self.store.run(&tenant, "end_overrides", end).await?;
        self.put_in_force(&tenant, resource).await?;
        Ok(Response::new(EndOverridesResponse { ended }))
    }

    async fn list_overrides(
        &self,
        request: Request<ListOverridesRequest>,
    ) -> Result<Response<ListOverridesResponse>, Status> {
        let tenant = named(&request, &request.get_ref().client_id)?;
        let list = async |tx: &mut TenantTx| overrides::list(tx).await;
        let rows = self.store.run(&tenant, "list_overrides", list).await?;
        let overrides = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(ListOverridesResponse { overrides }))
    }

    async fn verify_usage(
        &self,
        request: Request<VerifyUsageRequest>,
    ) -> Result<Response<VerifyUsageResponse>, Status> {
        let tenant = named(&request, &request.get_ref().client_id)?;
        let check = async |tx: &mut TenantTx| verify::check(tx).await;
        let checks = self.store.run(&tenant, "verify_usage", check).await?;
        verify::note_drift(&tenant, &checks);
        Ok(Response::new(VerifyUsageResponse { checks }))
    }

    async fn reconcile_usage(
        &self,
        request: Request<ReconcileUsageRequest>,
    ) -> Result<Response<ReconcileUsageResponse>, Status> {
        let wish = request.get_ref();
        let tenant = named(&request, &wish.client_id)?;
        let reason = checked_reason(&wish.reason)?;
        let reconcile = async |tx: &mut TenantTx| verify::reconcile(tx, reason).await;
        let corrected = self.store.run(&tenant, "reconcile_usage", reconcile).await?;
        Ok(Response::new(ReconcileUsageResponse { corrected }))
    }
}

fn named<T>(request: &Request<T>, id: &str) -> Result<Tenant, Fault> {
    Ok(Platform::of(request)?.act_for(ClientId::parse("client_id", id)?))
}

/// Why something was done, for those who read it later.
fn checked_reason(reason: &str) -> Result<&str, Fault> {
    let mut wrong = Violations::new();
    wrong.text("reason", reason, 1..=500);
    wrong.into_result()?;
    Ok(reason)
}
