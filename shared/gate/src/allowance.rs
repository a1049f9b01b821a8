//! Requests that a tenant may make: slices leased from QuotaService and spent here without asking again.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onekeel_api::quota::{AcquireAllowanceRequest, AcquireAllowanceResponse};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use tokio::sync::OwnedMutexGuard;

use crate::Peers;
use crate::detached::detached;
use crate::slice::Slice;

const LONGEST_CALL: Duration = Duration::from_millis(900);
const REMEMBERED_TENANTS: usize = 10_000;

pub(crate) struct Allowances {
    peers: Peers,
    slots: Cache<ClientId, Arc<Slot>>,
}

#[derive(Default)]
struct Slot {
    slice: Mutex<Slice>,
    /// Held while a slice is asked for, so that one call asks for all.
    flight: Arc<tokio::sync::Mutex<()>>,
}

impl Slot {
    fn slice(&self) -> MutexGuard<'_, Slice> {
        self.slice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowances {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            slots: Cache::new(REMEMBERED_TENANTS),
        }
    }

    /// Spends `cost` requests of the tenant's allowance, or says when to try again.
    ///
    /// Cancel-safe: a slice that was asked for is kept, also when the caller does not wait for it.
    pub async fn spend(&self, tenant: &Tenant, cost: i64) -> Result<(), Fault> {
        let made = self
            .slots
            .get_or_insert_with(&tenant.id(), || Ok::<_, Fault>(Arc::default()));
        let slot = made?;
        if slot.slice().spend(cost) {
            return Ok(());
        }
        let flight = slot.flight.clone().lock_owned().await;
        detached(refill(self.peers.clone(), slot, flight, tenant.clone(), cost)).await
    }
}

async fn refill(
    peers: Peers,
    slot: Arc<Slot>,
    _flight: OwnedMutexGuard<()>,
    tenant: Tenant,
    cost: i64,
) -> Result<(), Fault> {
    let want = {
        let mut slice = slot.slice();
        if slice.spend(cost) {
            return Ok(());
        }
        if let Some(fault) = slice.asked_in_vain() {
            return slice.fall_back(cost, fault);
        }
        slice.next_want(cost)
    };
    // Its life counts from before the question, so that no answer, however slow, is spent too late.
    let asked = Instant::now();
    let fault = match ask(&peers, &tenant, want, cost).await {
        Ok(answer) => return slot.slice().refill(&answer, asked, cost),
        Err(fault) => fault,
    };
    if !matches!(fault.reason(), ErrorReason::Unavailable | ErrorReason::DeadlineExceeded) {
        return Err(fault);
    }
    tracing::warn!(tenant.id = %tenant.id(), %fault, "the request allowance is counted by this process alone");
    let mut slice = slot.slice();
    slice.note_in_vain(asked);
    slice.fall_back(cost, fault)
}

async fn ask(peers: &Peers, tenant: &Tenant, want: i64, least: i64) -> Result<AcquireAllowanceResponse, Fault> {
    let request = peers.request(tenant, AcquireAllowanceRequest { want, least }, LONGEST_CALL)?;
    let answer = peers.quota().acquire_allowance(request).await;
    Ok(answer.map_err(|status| Fault::from_status(&status))?.into_inner())
}
