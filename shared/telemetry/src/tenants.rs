//! Which tenants have series of their own: those that call most, a fixed number of them. All others share one.
//!
//! Every tenant's calls are counted with a weight that halves each round. A round gives the seats to the heaviest; who
//! holds one keeps it until somebody is clearly heavier, so that two equal tenants do not change places for ever.
//! Who loses a seat loses its series, and a later one starts again at zero, which rates take for a restart.
use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::series::Series;

/// Tenants whose use is followed; beyond them, the least used are forgotten first.
const FOLLOWED: usize = 10_000;
/// A call counts this much in its round, so that halving keeps what is worth keeping.
const CALL: u64 = 256;

pub(crate) struct Tenants {
    most: usize,
    methods: usize,
    followed: Cache<Uuid, Arc<Followed>>,
    seats: Mutex<Vec<(Uuid, Arc<Followed>)>>,
    taken: AtomicUsize,
    /// Of tenants without a seat.
    pub others: Series,
}

#[derive(Default)]
struct Followed {
    calls: AtomicU64,
    weight: AtomicU64,
    seat: RwLock<Option<Arc<Series>>>,
}

impl Followed {
    fn sit(&self, seat: Option<Arc<Series>>) {
        *self.seat.write().unwrap_or_else(PoisonError::into_inner) = seat;
    }

    fn seat(&self) -> Option<Arc<Series>> {
        self.seat.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tenants {
    /// Seats for the `most` heaviest of all tenants.
    pub fn new(most: usize, methods: usize) -> Self {
        Self {
            most,
            methods,
            followed: Cache::new(FOLLOWED.max(most * 4)),
            seats: Mutex::default(),
            taken: AtomicUsize::new(0),
            others: Series::new(methods),
        }
    }

    /// Counts a call of `tenant` in its own series or in that of the others.
    pub fn record(&self, tenant: Uuid, record: impl FnOnce(&Series)) {
        let followed = self
            .followed
            .get_or_insert_with(&tenant, || Ok::<_, Infallible>(self.follow(tenant)));
        let Ok(followed) = followed;
        followed.calls.fetch_add(1, Ordering::Relaxed);
        let seat = followed.seat.read().unwrap_or_else(PoisonError::into_inner);
        record(seat.as_deref().unwrap_or(&self.others));
    }

    /// A newcomer; while there are free seats it gets one at once.
    fn follow(&self, tenant: Uuid) -> Arc<Followed> {
        if self.most == 0 {
            return Arc::default();
        }
        let full = self.taken.load(Ordering::Relaxed) >= self.most;
        let mut seats = self.seats();
        // Who was forgotten while it held a seat comes back to it.
        if let Some((_, seated)) = seats.iter().find(|(own, _)| *own == tenant) {
            return seated.clone();
        }
        let followed = Arc::<Followed>::default();
        if !full && seats.len() < self.most {
            followed.sit(Some(Arc::new(Series::new(self.methods))));
            seats.push((tenant, followed.clone()));
            self.taken.store(seats.len(), Ordering::Relaxed);
        }
        followed
    }

    fn seats(&self) -> MutexGuard<'_, Vec<(Uuid, Arc<Followed>)>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One round: weighs everybody and gives the seats anew.
    pub fn round(&self) {
        let mut seats = self.seats();
        let mut all: HashMap<Uuid, Arc<Followed>> = self.followed.iter().collect();
        all.extend(seats.iter().cloned());
        let mut weighed: Vec<_> = all
            .into_iter()
            .map(|(tenant, followed)| {
                let calls = followed.calls.swap(0, Ordering::Relaxed);
                let weight = followed.weight.load(Ordering::Relaxed) / 2 + calls * CALL;
                followed.weight.store(weight, Ordering::Relaxed);
                // Clearly heavier: by a quarter, and by more than a few calls.
                let held = if followed.seat().is_some() {
                    weight / 4 + 4 * CALL
                } else {
                    0
                };
                (weight, weight + held, tenant, followed)
            })
            .filter(|(weight, _, _, followed)| *weight > 0 || followed.seat().is_some())
            .collect();
        weighed.sort_by_key(|(_, standing, tenant, _)| (Reverse(*standing), *tenant));
        let losers = weighed.split_off(self.most.min(weighed.len()));
        for (_, _, _, loser) in losers {
            loser.sit(None);
        }
        *seats = weighed
            .into_iter()
            .map(|(_, _, tenant, followed)| {
                if followed.seat().is_none() {
                    followed.sit(Some(Arc::new(Series::new(self.methods))));
                }
                (tenant, followed)
            })
            .collect();
        self.taken.store(seats.len(), Ordering::Relaxed);
    }

    /// Those that have series of their own.
    pub fn seated(&self) -> Vec<(Uuid, Arc<Series>)> {
        let seats = self.seats();
        seats
            .iter()
            .filter_map(|(tenant, followed)| Some((*tenant, followed.seat()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn call(tenants: &Tenants, tenant: u128, times: usize) {
        for _ in 0..times {
            tenants.record(Uuid::from_u128(tenant), |_| {});
        }
    }

    fn seated(tenants: &Tenants) -> BTreeSet<u128> {
        tenants
            .seated()
            .into_iter()
            .map(|(tenant, _)| tenant.as_u128())
            .collect()
    }

    #[test]
    fn the_first_get_seats_at_once_and_the_heaviest_keep_them() {
        let tenants = Tenants::new(2, 1);
        call(&tenants, 1, 5);
        call(&tenants, 2, 50);
        call(&tenants, 3, 500);
        assert_eq!(seated(&tenants), BTreeSet::from([1, 2]), "two seats, first come");
        tenants.round();
        assert_eq!(seated(&tenants), BTreeSet::from([2, 3]), "the heaviest");
        call(&tenants, 2, 10);
        call(&tenants, 3, 10);
        call(&tenants, 1, 30);
        tenants.round();
        assert_eq!(seated(&tenants), BTreeSet::from([2, 3]), "not for a little more");
        for _ in 0..8 {
            call(&tenants, 1, 1000);
            tenants.round();
        }
        assert!(seated(&tenants).contains(&1), "the heaviest of late");
    }

    #[test]
    fn with_no_seats_everybody_is_one_of_the_others() {
        let tenants = Tenants::new(0, 1);
        call(&tenants, 1, 5);
        tenants.round();
        assert_eq!(seated(&tenants), BTreeSet::new());
    }
}
