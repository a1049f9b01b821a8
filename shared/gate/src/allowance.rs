//! Requests that a tenant may make: slices leased from QuotaService and spent here without asking again.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onekeel_api::quota::AcquireAllowanceRequest;
use onekeel_api::{Call, ClientId, ErrorReason, Fault};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use tokio::sync::OwnedMutexGuard;

use crate::Peers;
use crate::authority::{Authority, MOST_TOGETHER};
use crate::detached::detached;
use crate::slice::Slice;

const REMEMBERED_TENANTS: usize = 20_000;

pub(crate) struct Allowances {
    authority: Authority,
    slots: Cache<ClientId, Arc<Slot>>,
    /// Tenants that call and whose slices end soon; each of those that are remembered once at most.
    ending: Mutex<Vec<Ending>>,
}

type Ending = (Tenant, Arc<Slot>);

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

    /// The refusal that still stands, with what the answer says of the limit.
    fn refused(&self, cost: i64, now: Instant) -> Option<Fault> {
        let mut slice = self.slice();
        let refused = slice.refused(cost, now)?;
        note(&mut slice, refused.retry_delay(), now);
        Some(refused)
    }
}

impl Allowances {
    pub fn new(peers: Peers) -> Self {
        Self {
            authority: Authority::new(peers),
            slots: Cache::new(REMEMBERED_TENANTS),
            ending: Mutex::default(),
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
        let now = Instant::now();
        if self.spend_of(&slot, tenant, cost, now) {
            return Ok(());
        }
        if let Some(refused) = slot.refused(cost, now) {
            return Err(refused);
        }
        let flight = slot.flight.clone().lock_owned().await;
        let refilled = refill(self.authority.clone(), slot.clone(), flight, tenant.clone(), cost);
        let spent = detached(refilled).await;
        let retry = spent.as_ref().err().and_then(Fault::retry_delay);
        note(&mut slot.slice(), retry, Instant::now());
        spent
    }

    /// Spends `cost` if the tenant's slice has as much.
    pub fn spend_at_once(&self, tenant: &Tenant, cost: i64, now: Instant) -> bool {
        let slot = self.slots.get(&tenant.id());
        slot.is_some_and(|slot| self.spend_of(&slot, tenant, cost, now))
    }

    fn spend_of(&self, slot: &Arc<Slot>, tenant: &Tenant, cost: i64, now: Instant) -> bool {
        let mut slice = slot.slice();
        let spent = slice.spend(cost, now);
        if spent {
            note(&mut slice, None, now);
            if slice.ends_soon(now) {
                self.ending().push((tenant.clone(), slot.clone()));
            }
        }
        spent
    }

    fn ending(&self) -> MutexGuard<'_, Vec<Ending>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for all slices that end soon together, so that their tenants' next calls find new ones. Call it some times a second:
    /// a slice that ends before it was asked for again is asked for by a call, which waits.
    ///
    /// # Errors
    /// When QuotaService cannot be asked; what is left of the slices is spent then.
    pub async fn renew(&self) -> Result<(), Fault> {
        let ending = std::mem::take(&mut *self.ending());
        for some in ending.chunks(MOST_TOGETHER) {
            let wish = |slot: &Slot| AcquireAllowanceRequest {
                want: slot.slice().next_want(1),
                least: 1,
                spent_alone: 0,
            };
            let wishes: Vec<_> = some.iter().map(|(tenant, slot)| (tenant, wish(slot))).collect();
            let asked = Instant::now();
            let answers = self.authority.ask_for_all(&wishes).await?;
            for ((_, slot), answer) in some.iter().zip(answers) {
                if let Some(answer) = answer {
                    slot.slice().renew(&answer, asked)?;
                }
            }
        }
        Ok(())
    }

    /// The limits of these tenants, or of all, may have changed: their slices are not spent any more.
    pub fn end_slices(&self, changed: Option<&[ClientId]>) {
        match changed {
            Some(tenants) => tenants.iter().filter_map(|tenant| self.slots.get(tenant)).for_each(end),
            None => self.slots.iter().for_each(|(_, slot)| end(slot)),
        }
    }

    /// Notes for the answer what is known of the tenant's limit, where a call is refused before it is counted.
    pub fn announce(&self, tenant: &Tenant) {
        if let Some(slot) = self.slots.get(&tenant.id()) {
            note(&mut slot.slice(), None, Instant::now());
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the cache gives its own handle away")]
fn end(slot: Arc<Slot>) {
    slot.slice().end();
}

/// Notes for the answer of the present call what is left.
fn note(slice: &mut Slice, retry: Option<Duration>, now: Instant) {
    if let Some(limit) = slice.announce(retry, now) {
        Call::with_current(|call| call.note_rate_limit(limit));
    }
}

async fn refill(
    authority: Authority,
    slot: Arc<Slot>,
    _flight: OwnedMutexGuard<()>,
    tenant: Tenant,
    cost: i64,
) -> Result<(), Fault> {
    let (wish, told) = {
        let mut slice = slot.slice();
        let now = Instant::now();
        if slice.spend(cost, now) {
            return Ok(());
        }
        // Of the call that asked while this one waited.
        if let Some(fault) = slice.refused(cost, now) {
            return Err(fault);
        }
        if let Some(fault) = slice.asked_in_vain() {
            return slice.fall_back(cost, fault);
        }
        let spent_alone = slice.untold();
        let wish = AcquireAllowanceRequest {
            want: slice.next_want(cost),
            least: cost,
            spent_alone,
        };
        (wish, spent_alone)
    };
    // Its life counts from before the question, so that no answer, however slow, is spent too late.
    let asked = Instant::now();
    let fault = match authority.ask(&tenant, wish).await {
        Ok(answer) => return slot.slice().refill(&answer, asked, told, cost),
        Err(fault) => fault,
    };
    if !matches!(fault.reason(), ErrorReason::Unavailable | ErrorReason::DeadlineExceeded) {
        return Err(fault);
    }
    let mut slice = slot.slice();
    slice.note_in_vain(asked);
    slice.fall_back(cost, fault)
}
