//! What a tenant holds of a resource: its open lease, those that were replaced, how large the next one shall be. No I/O here.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onekeel_api::quota::Resource;
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::pieces::{Pieces, Wanted};
use crate::row::ChargeRow;

/// Grains of a tenant's first lease: fewer would cost a question every few rows, and near a limit QuotaService grants less.
const FIRST_LEASE: i64 = 64;
/// Most grains of one lease that nobody asked for in one piece.
const LARGEST_LEASE: i64 = 1000;
/// Leases of one slot that wait for their last calls.
const MOST_REPLACED: usize = 16;
/// Bytes are leased by blocks, everything else one by one.
const BLOCK: i64 = 4096;

fn grain(resource: Resource) -> i64 {
    if resource == Resource::StorageBytes { BLOCK } else { 1 }
}

/// What one tenant holds of one resource.
pub(crate) struct Slot {
    /// Whose it is.
    pub(crate) tenant: Tenant,
    /// Of what.
    pub(crate) resource: Resource,
    state: Mutex<State>,
    /// Held while a new lease is asked for, so that one call asks for all.
    pub(crate) flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    open: Option<Lease>,
    /// Leases that were replaced while calls were under way with them; given back when those have ended.
    replaced: Vec<Lease>,
    /// Size of the next lease in grains, none before the first; doubles while leases are used up within their life.
    size: Option<i64>,
    /// When somebody will look whether a lease has to go back.
    look: Option<Instant>,
}

struct Lease {
    id: Uuid,
    pieces: Pieces,
    spend_until: Instant,
    last_taken: Instant,
    /// How long it is kept when nobody uses it.
    idle: Duration,
    in_flight: u32,
}

impl Slot {
    pub fn new(tenant: Tenant, resource: Resource) -> Self {
        Self {
            tenant,
            resource,
            state: Mutex::default(),
            flight: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As many units of the open lease as are wanted, in one piece, if it has them and may still be spent.
    pub fn take(&self, wanted: Wanted) -> Option<ChargeRow> {
        self.state().take(self.resource, wanted)
    }

    /// Takes the open lease away, as its id when no call is under way with it, and says how large the next shall be
    /// for a call that wants `wanted`.
    pub fn replace(&self, wanted: Wanted) -> (Option<Uuid>, i64) {
        let mut state = self.state();
        let old = state.open.take();
        let size = state.next_size(old.as_ref(), grain(self.resource), wanted);
        match old {
            Some(old) if old.in_flight == 0 => (Some(old.id), size),
            // Beyond the bound it is left to the sweeper.
            Some(old) if state.replaced.len() < MOST_REPLACED => {
                state.replaced.push(old);
                (None, size)
            }
            _ => (None, size),
        }
    }

    /// Puts a lease in that may be spent until `spend_until`, and goes back before that when nobody uses it for `idle`.
    pub fn put(&self, id: Uuid, amount: i64, spend_until: Instant, idle: Duration) {
        self.state().open = Some(Lease {
            id,
            pieces: Pieces::of(amount),
            spend_until,
            last_taken: Instant::now(),
            idle,
            in_flight: 0,
        });
    }

    /// Units that were not committed serve the next call.
    pub fn give_back(&self, lease: Uuid, first: i64, units: i64) {
        if let Some(open) = self.state().open.as_mut().filter(|open| open.id == lease) {
            open.pieces.give_back(first, units);
        }
    }

    /// The lease has ended; large ones do not pay while others settle them.
    pub fn forget(&self, lease: Uuid) {
        let mut state = self.state();
        if state.open.as_ref().is_some_and(|open| open.id == lease) {
            state.open = None;
            state.size = Some(1);
        }
    }

    /// A call with units of the lease has ended.
    pub fn landed(&self, lease: Uuid) {
        let mut state = self.state();
        let State { open, replaced, .. } = &mut *state;
        if let Some(used) = open.iter_mut().chain(replaced).find(|used| used.id == lease) {
            used.in_flight = used.in_flight.saturating_sub(1);
        }
    }

    /// When one of its leases may have to go back, if somebody has to be told that: nobody looks by then.
    pub fn schedule(&self) -> Option<Instant> {
        let mut state = self.state();
        let due = state.due()?;
        if state.look.is_some_and(|look| look <= due) {
            return None;
        }
        state.look = Some(due);
        Some(due)
    }

    /// Whether that was the time to look at it; from here on nobody will, until it is scheduled again.
    pub fn is_due(&self, at: Instant) -> bool {
        self.state().look.take_if(|look| *look == at).is_some()
    }

    /// Whether a lease is open, in use or not.
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Takes away the replaced leases that no call is under way with any more.
    pub fn take_replaced(&self) -> Vec<Uuid> {
        self.state()
            .replaced
            .extract_if(.., |lease| lease.in_flight == 0)
            .map(|lease| lease.id)
            .collect()
    }

    /// Takes the lease away when nobody has used it for as long as it is kept idle, or for `most`, and no call is under way
    /// with it.
    pub fn take_idle(&self, most: Duration) -> Option<Uuid> {
        let mut state = self.state();
        let unused = |lease: &Lease| lease.in_flight == 0 && lease.last_taken.elapsed() >= lease.idle.min(most);
        if !state.open.as_ref().is_some_and(unused) {
            return None;
        }
        let lease = state.open.take()?;
        state.size = Some((lease.pieces.used() / grain(self.resource) / 2).max(FIRST_LEASE));
        Some(lease.id)
    }
}

impl State {
    /// When a lease may have to go back: one that was replaced as soon as its last call has ended, an open one when nobody has
    /// used it for long enough.
    fn due(&self) -> Option<Instant> {
        let idle = self.open.as_ref().map(|open| open.last_taken + open.idle);
        if self.replaced.is_empty() {
            idle
        } else {
            Some(Instant::now())
        }
    }

    fn take(&mut self, resource: Resource, wanted: Wanted) -> Option<ChargeRow> {
        let lease = self.open.as_mut().filter(|lease| Instant::now() < lease.spend_until)?;
        let (first_unit, units) = lease.pieces.take(wanted)?;
        lease.in_flight += 1;
        lease.last_taken = Instant::now();
        Some(ChargeRow {
            lease_id: lease.id,
            first_unit,
            units,
            of: lease.pieces.amount(),
            resource,
        })
    }

    fn next_size(&mut self, old: Option<&Lease>, grain: i64, wanted: Wanted) -> i64 {
        let used_up = |lease: &Lease| lease.pieces.left() < wanted.least() && Instant::now() < lease.spend_until;
        let size = self.size.unwrap_or(FIRST_LEASE);
        let size = if old.is_some_and(used_up) { size * 2 } else { size };
        let size = size.clamp(1, LARGEST_LEASE);
        self.size = Some(size);
        let most = wanted.most().min(LARGEST_LEASE * grain);
        (size * grain).max(most).max(wanted.least())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn in_a_minute() -> Instant {
        Instant::now() + LONG
    }

    fn slot(amount: i64) -> (Slot, Uuid) {
        let id = Uuid::now_v7();
        #[expect(clippy::disallowed_methods, reason = "units are counted below the verifier")]
        let slot = Slot::new(
            Tenant::for_background(onekeel_api::ClientId::new_v7(), "test"),
            Resource::Leads,
        );
        assert_eq!(slot.replace(Wanted::up_to(1)), (None, 64), "the first lease is small");
        slot.put(id, amount, in_a_minute(), LONG);
        (slot, id)
    }

    fn taken(slot: &Slot, most: i64) -> Option<(i64, i64)> {
        slot.take(Wanted::up_to(most)).map(|row| (row.first_unit, row.units))
    }

    #[test]
    fn units_are_taken_once_and_again_only_when_they_came_back() {
        let (slot, id) = slot(10);
        assert_eq!(taken(&slot, 4), Some((0, 4)));
        assert_eq!(taken(&slot, 1), Some((4, 1)));
        slot.give_back(id, 1, 3);
        assert_eq!(taken(&slot, 2), Some((1, 2)), "what came back goes first");
        assert_eq!(taken(&slot, 2), Some((3, 1)));
        assert_eq!(taken(&slot, 100), Some((5, 5)));
        assert_eq!(taken(&slot, 1), None, "no unit is taken twice");
        slot.give_back(Uuid::now_v7(), 0, 5);
        assert_eq!(taken(&slot, 1), None, "units of another lease are not ours");
    }

    #[test]
    fn a_lease_that_is_too_old_is_not_spent() {
        let (slot, id) = slot(10);
        slot.put(id, 10, Instant::now(), LONG);
        assert_eq!(taken(&slot, 1), None);
    }

    #[test]
    fn leases_double_while_they_are_used_up_and_an_idle_one_goes_back() {
        let (slot, id) = slot(1);
        assert_eq!(slot.take_idle(Duration::MAX), None, "it was just put in");
        taken(&slot, 1);
        assert_eq!(slot.take_idle(Duration::ZERO), None, "a call is under way");
        slot.landed(id);
        assert_eq!(slot.replace(Wanted::up_to(1)), (Some(id), 128));
        slot.put(id, 2, in_a_minute(), LONG);
        taken(&slot, 2);
        assert_eq!(
            slot.replace(Wanted::up_to(1)),
            (None, 256),
            "a call is under way: its end is not waited for"
        );
        slot.put(id, 4, in_a_minute(), LONG);
        assert_eq!(
            slot.replace(Wanted::up_to(500)),
            (Some(id), 500),
            "a batch asks for what it needs"
        );
        slot.put(id, 4, in_a_minute(), LONG);
        assert_eq!(slot.take_idle(Duration::ZERO), Some(id));
        slot.put(id, 4, in_a_minute(), Duration::ZERO);
        assert_eq!(slot.take_idle(Duration::MAX), Some(id), "each by its own time");
    }
}
