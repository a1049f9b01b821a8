//! Open leases, one for each tenant and resource: taken from QuotaService by tens, spent here one by one.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onekeel_api::quota::{ReserveItem, ReserveRequest, Resource};
use onekeel_api::{ClientId, ErrorReason, Fault, LeaseId};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::charge::{Charge, ChargeRow};
use crate::settle::release;
use crate::{Gate, Peers};

/// Most units of one lease, and so of one charge.
const LARGEST_LEASE: i64 = 1000;
const LEASE_LIFE_SECONDS: i64 = 30;
const LONGEST_RESERVE: Duration = Duration::from_secs(10);
/// Leases beyond this many are forgotten, and QuotaService's sweeper ends them.
const REMEMBERED_LEASES: usize = 10_000;
/// Tries of one call whose lease is ended under it.
const MOST_FENCES: u32 = 8;

pub(crate) struct Leases {
    pub(crate) peers: Peers,
    pub(crate) slots: Cache<(ClientId, Resource), Arc<Slot>>,
}

/// What one tenant holds of one resource.
pub(crate) struct Slot {
    pub(crate) tenant: Tenant,
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    open: Option<Lease>,
    /// Size of the next lease; doubles while leases are used up within their life.
    size: i64,
}

pub(crate) struct Lease {
    id: Uuid,
    amount: i64,
    /// First unit that nobody has taken yet.
    next: i64,
    /// Units of calls that failed before their commit, as `(first, units)`.
    free: Vec<(i64, i64)>,
    spend_until: Instant,
    last_taken: Instant,
    in_flight: u32,
}

impl Leases {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            slots: Cache::new(REMEMBERED_LEASES),
        }
    }

    async fn take(&self, tenant: &Tenant, resource: Resource, most: i64) -> Result<Charge, Fault> {
        let key = (tenant.id(), resource);
        let made = self
            .slots
            .get_or_insert_with(&key, || Ok::<_, Fault>(Arc::new(Slot::new(tenant.clone()))));
        let slot = made?;
        if let Some(charge) = slot.take(resource, most) {
            return Ok(charge);
        }
        let _flight = slot.flight.lock().await;
        if let Some(charge) = slot.take(resource, most) {
            return Ok(charge);
        }
        let (size, old) = {
            let mut state = slot.state();
            let old = state.open.take();
            (state.next_size(old.as_ref(), most), old)
        };
        if let Some(old) = old.filter(|old| old.in_flight == 0) {
            tokio::spawn(release(self.peers.clone(), tenant.clone(), old.id));
        }
        let lease = self.reserve(tenant, resource, size).await?;
        slot.state().open = Some(lease);
        let charge = slot.take(resource, most);
        charge.ok_or_else(|| Fault::unavailable("the quota lease came too late; try again"))
    }

    /// One `Reserve`, repeated once with the same request id when its answer was lost.
    async fn reserve(&self, tenant: &Tenant, resource: Resource, most: i64) -> Result<Lease, Fault> {
        let item = ReserveItem {
            resource: resource.into(),
            min: 1,
            max: most,
        };
        let wish = ReserveRequest {
            items: vec![item],
            ttl: Some(prost_types::Duration {
                seconds: LEASE_LIFE_SECONDS,
                nanos: 0,
            }),
            request_id: Uuid::now_v7().to_string(),
        };
        // The lease's life counts from before the question: by this clock it never ends after QuotaService's.
        let asked = Instant::now();
        let mut answer = self.ask(tenant, wish.clone()).await;
        if answer
            .as_ref()
            .is_err_and(|fault| fault.reason() == ErrorReason::Unavailable)
        {
            answer = self.ask(tenant, wish).await;
        }
        let lease = answer?
            .into_iter()
            .next()
            .ok_or_else(|| Fault::internal("Reserve answered without a lease"))?;
        let ttl = lease
            .ttl
            .and_then(|ttl| Duration::try_from(ttl).ok())
            .unwrap_or_default();
        metrics::counter!("onekeel_quota_leases_total", "resource" => resource.name()).increment(1);
        Ok(Lease {
            id: LeaseId::parse("id", &lease.id).map_err(Fault::internal)?.uuid(),
            amount: lease.amount,
            next: 0,
            free: Vec::new(),
            spend_until: asked + ttl / 2,
            last_taken: Instant::now(),
            in_flight: 0,
        })
    }

    async fn ask(&self, tenant: &Tenant, wish: ReserveRequest) -> Result<Vec<onekeel_api::quota::Lease>, Fault> {
        let request = self.peers.request(tenant, wish, LONGEST_RESERVE)?;
        let answer = self.peers.quota().reserve(request).await;
        Ok(answer
            .map_err(|status| Fault::from_status(&status))?
            .into_inner()
            .leases)
    }
}

impl Slot {
    fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            state: Mutex::default(),
            flight: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, resource: Resource, most: i64) -> Option<Charge> {
        let row = self.state().take(resource, most)?;
        Some(Charge::new(row, self.clone()))
    }

    pub fn give_back(&self, lease: Uuid, first: i64, units: i64) {
        if let Some(open) = self.state().open.as_mut().filter(|open| open.id == lease) {
            open.free.push((first, units));
        }
    }

    pub fn forget(&self, lease: Uuid) {
        let mut state = self.state();
        if state.open.as_ref().is_some_and(|open| open.id == lease) {
            state.open = None;
            state.size = 1;
        }
    }

    pub fn landed(&self, lease: Uuid) {
        if let Some(open) = self.state().open.as_mut().filter(|open| open.id == lease) {
            open.in_flight = open.in_flight.saturating_sub(1);
        }
    }

    /// Takes the lease away when nobody has used it for `idle` and no call is under way with it.
    pub fn take_idle(&self, idle: Duration) -> Option<Uuid> {
        let mut state = self.state();
        let unused = |lease: &Lease| lease.in_flight == 0 && lease.last_taken.elapsed() >= idle;
        if !state.open.as_ref().is_some_and(unused) {
            return None;
        }
        let lease = state.open.take()?;
        state.size = (lease.next / 2).max(1);
        Some(lease.id)
    }
}

impl State {
    fn take(&mut self, resource: Resource, most: i64) -> Option<ChargeRow> {
        let lease = self.open.as_mut().filter(|lease| Instant::now() < lease.spend_until)?;
        let (first_unit, units) = lease.take_range(most)?;
        lease.in_flight += 1;
        lease.last_taken = Instant::now();
        Some(ChargeRow {
            lease_id: lease.id,
            first_unit,
            units,
            of: lease.amount,
            resource,
        })
    }

    fn next_size(&mut self, old: Option<&Lease>, most: i64) -> i64 {
        let used_up = old.is_some_and(|lease| lease.next == lease.amount && Instant::now() < lease.spend_until);
        self.size = if used_up { self.size * 2 } else { self.size }.clamp(1, LARGEST_LEASE);
        self.size.max(most).min(LARGEST_LEASE)
    }
}

impl Lease {
    /// Up to `most` units in one piece: the largest of what came back, else fresh ones.
    fn take_range(&mut self, most: i64) -> Option<(i64, i64)> {
        if most < 1 {
            return None;
        }
        let largest = self
            .free
            .iter()
            .enumerate()
            .max_by_key(|(_, (_, units))| *units)
            .map(|(place, _)| place);
        if let Some(place) = largest {
            let (first, units) = self.free.swap_remove(place);
            let taken = units.min(most);
            if units > taken {
                self.free.push((first + taken, units - taken));
            }
            return Some((first, taken));
        }
        let taken = (self.amount - self.next).min(most);
        let first = self.next;
        self.next += taken;
        (taken > 0).then_some((first, taken))
    }
}

impl Gate {
    /// Takes up to `most` units (at least one) of the tenant's open lease, or of a new one.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED` when the plan's limit is reached; `UNAVAILABLE` when QuotaService cannot be asked: what may
    /// grow beyond a limit is refused, never guessed.
    pub async fn take(&self, tenant: &Tenant, resource: Resource, most: i64) -> Result<Charge, Fault> {
        self.leases.take(tenant, resource, most).await
    }

    /// Runs `work` with one unit: spent when it succeeds, given back when it fails before its commit, and tried again
    /// with a new lease when the old one was settled under it. `work` writes the charge in its own transaction.
    pub async fn charged<T, W>(&self, tenant: &Tenant, resource: Resource, work: W) -> Result<T, Fault>
    where
        W: AsyncFnOnce(ChargeRow) -> Result<T, Fault> + Clone,
    {
        let mut fences = 0;
        loop {
            let charge = self.take(tenant, resource, 1).await?;
            let fault = match work.clone()(charge.row()).await {
                Ok(value) => {
                    charge.spent();
                    return Ok(value);
                }
                Err(fault) => fault,
            };
            charge.failed(&fault);
            fences += 1;
            if !fault.is_fenced() || fences == MOST_FENCES {
                return Err(fault);
            }
        }
    }
}
