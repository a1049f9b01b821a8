//! Plans on their way: noted here, put in force by QuotaService, confirmed here.
//!
//! Either process may die between the steps. The note stays, a retry of the call finds it, and so does the background
//! work below; AssignPlan may come twice without harm.
use std::time::Duration;

use onekeel_api::quota::AssignPlanRequest;
use onekeel_api::{ErrorReason, Fault};
use onekeel_gate::Peers;
use onekeel_server::{Parts, Round};
use onekeel_store::{Directory, Store, TenantTx};
use onekeel_tenancy::Tenant;

use crate::tenant::TenantRow;
use crate::{plan_repo, repo};

const LONGEST_ASSIGNMENT: Duration = Duration::from_secs(15);
const ROUND: Duration = Duration::from_secs(2);
const TENANTS_A_ROUND: i32 = 100;

/// Brings plans to their end.
#[derive(Clone)]
pub(crate) struct Plans {
    store: Store,
    peers: Peers,
}

impl Plans {
    pub fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            peers: parts.peers.clone(),
        }
    }

    /// Brings the tenant's pending plan to its end, if there is one, and returns the tenant.
    ///
    /// # Errors
    /// QuotaService's refusal, after the plan was taken back; `UNAVAILABLE` while the plan is still on its way.
    pub async fn settle(&self, tenant: &Tenant) -> Result<TenantRow, Fault> {
        let row = self.read(tenant).await?;
        let Some(plan) = row.pending_plan.clone() else {
            return Ok(row);
        };
        let wish = AssignPlanRequest {
            plan: plan.clone(),
            allow_overage: row.pending_overage,
        };
        let request = self.peers.request(tenant, wish, LONGEST_ASSIGNMENT)?;
        match self.peers.quota().assign_plan(request).await {
            Ok(_) => {
                let confirm = async |tx: &mut TenantTx| plan_repo::confirm_plan(tx, &plan).await;
                self.store.run(tenant, "confirm_plan", confirm).await?;
                self.read(tenant).await
            }
            Err(status) => {
                let fault = Fault::from_status(&status);
                if is_refusal(&fault) {
                    let refuse = async |tx: &mut TenantTx| plan_repo::refuse_plan(tx, &plan).await;
                    self.store.run(tenant, "refuse_plan", refuse).await?;
                }
                Err(fault)
            }
        }
    }

    /// The tenant as it is.
    pub async fn read(&self, tenant: &Tenant) -> Result<TenantRow, Fault> {
        let row = self.store.one(tenant, "get_tenant", repo::find).await?;
        row.ok_or_else(Fault::not_found)
    }

    /// Finishes what a crash left on its way, for as long as the server runs.
    pub async fn finish_interrupted(self) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            let began = Round::begin("tenant.settle_plans");
            let mut well = true;
            let found = self
                .store
                .walk(Directory::Unsettled, TENANTS_A_ROUND, "settle_plans")
                .await;
            let found = found.unwrap_or_else(|fault| {
                well = false;
                report(&fault)
            });
            for tenant in found {
                match self.settle(&tenant).await {
                    Ok(_) => tracing::info!(tenant.id = %tenant.id(), "an interrupted change of plan was finished"),
                    Err(fault) => {
                        well = false;
                        drop(report(&fault));
                    }
                }
            }
            began.end(well);
        }
    }
}

/// Whether QuotaService has decided; anything else may still have happened, or may happen with the next try.
fn is_refusal(fault: &Fault) -> bool {
    matches!(
        fault.reason(),
        ErrorReason::InvalidArgument | ErrorReason::PlanBelowUsage
    )
}

fn report(fault: &Fault) -> Vec<Tenant> {
    metrics::counter!("onekeel_tenant_settle_failures_total").increment(1);
    tracing::warn!(%fault, "an interrupted change of plan is still on its way");
    Vec::new()
}
