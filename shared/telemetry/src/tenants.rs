//! Which tenants have series of their own: those that call most, a fixed number of them. All others share one.
//!
//! Every tenant has a weight, which halves each round and grows by its calls. A round gives the seats to the heaviest; who
//! holds one keeps it until somebody is clearly heavier, so that two equal tenants do not change places for ever.
//! Who loses a seat loses its series, and a later one starts again at zero, which rates take for a restart.
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use uuid::Uuid;

use crate::series::Series;

/// Tenants whose weight is remembered; beyond them, the lightest are forgotten.
const WEIGHED: usize = 10_000;
/// A call counts this much in its round, so that halving keeps what is worth keeping.
const CALL: u64 = 256;

pub(crate) struct Tenants {
    most: usize,
    methods: usize,
    /// Few, as every call looks here.
    seats: RwLock<HashMap<Uuid, Arc<Series>>>,
    weights: Mutex<HashMap<Uuid, u64>>,
    /// Of tenants without a seat.
    pub others: Series,
}

impl Tenants {
    /// Seats for the `most` heaviest of all tenants.
    pub fn new(most: usize, methods: usize) -> Self {
        Self {
            most,
            methods,
            seats: RwLock::default(),
            weights: Mutex::default(),
            others: Series::new(methods),
        }
    }

    /// Records a call of `tenant` in its own series or in that of the others. While there are free seats a newcomer gets one.
    pub fn record(&self, tenant: Uuid, record: impl FnOnce(&Series)) {
        let seats = self.seats();
        if let Some(series) = seats.get(&tenant) {
            return record(series);
        }
        if seats.len() >= self.most {
            return record(&self.others);
        }
        drop(seats);
        let mut seats = self.seats_for_change();
        if seats.len() < self.most {
            seats.entry(tenant).or_insert_with(|| self.series());
        }
        record(seats.get(&tenant).map_or(&self.others, |series| series));
    }

    fn series(&self) -> Arc<Series> {
        Arc::new(Series::new(self.methods))
    }

    fn seats(&self) -> RwLockReadGuard<'_, HashMap<Uuid, Arc<Series>>> {
        self.seats.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn seats_for_change(&self) -> RwLockWriteGuard<'_, HashMap<Uuid, Arc<Series>>> {
        self.seats.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One round: weighs everybody by the calls since the last one, and gives the seats anew.
    pub fn round(&self, calls: impl IntoIterator<Item = (Uuid, u64)>) {
        let mut weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        weights.values_mut().for_each(|weight| *weight /= 2);
        for (tenant, calls) in calls {
            *weights.entry(tenant).or_default() += calls * CALL;
        }
        let seated: HashSet<Uuid> = self.seats().keys().copied().collect();
        for tenant in &seated {
            weights.entry(*tenant).or_default();
        }
        // Clearly heavier than one who holds a seat: by a quarter, and by more than a few calls.
        let standing = |tenant: &Uuid, weight: u64| {
            let held = if seated.contains(tenant) {
                weight / 4 + 4 * CALL
            } else {
                0
            };
            weight + held
        };
        let mut ranked: Vec<_> = std::mem::take(&mut *weights)
            .into_iter()
            .map(|(tenant, weight)| (Reverse(standing(&tenant, weight)), tenant, weight))
            .filter(|(standing, ..)| standing.0 > 0)
            .collect();
        ranked.sort_unstable();
        ranked.truncate(WEIGHED.max(self.most));
        self.seat(ranked.iter().take(self.most).map(|(_, tenant, _)| *tenant));
        *weights = ranked.into_iter().map(|(_, tenant, weight)| (tenant, weight)).collect();
    }

    /// Gives the seats to these. A newcomer of this moment keeps its own where there is one left.
    fn seat(&self, heaviest: impl Iterator<Item = Uuid>) {
        let mut seats = self.seats_for_change();
        let mut before = std::mem::take(&mut *seats);
        for tenant in heaviest {
            seats.insert(tenant, before.remove(&tenant).unwrap_or_else(|| self.series()));
        }
        let left = self.most - seats.len();
        seats.extend(before.into_iter().take(left));
    }

    /// Those that have series of their own.
    pub fn seated(&self) -> Vec<(Uuid, Arc<Series>)> {
        let seats = self.seats();
        let mut seated: Vec<_> = seats.iter().map(|(tenant, series)| (*tenant, series.clone())).collect();
        seated.sort_unstable_by_key(|(tenant, _)| *tenant);
        seated
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn round(tenants: &Tenants, calls: &[(u128, u64)]) -> BTreeSet<u128> {
        tenants.round(calls.iter().map(|(tenant, calls)| (Uuid::from_u128(*tenant), *calls)));
        seated(tenants)
    }

    fn seated(tenants: &Tenants) -> BTreeSet<u128> {
        let seated = tenants.seated().into_iter();
        seated.map(|(tenant, _)| tenant.as_u128()).collect()
    }

    #[test]
    fn the_first_get_seats_at_once_and_the_heaviest_keep_them() {
        let tenants = Tenants::new(2, 1);
        for tenant in [1, 2, 3] {
            tenants.record(Uuid::from_u128(tenant), |_| {});
        }
        assert_eq!(seated(&tenants), BTreeSet::from([1, 2]), "two seats, first come");
        let first = [(1, 5), (2, 50), (3, 500)];
        assert_eq!(round(&tenants, &first), BTreeSet::from([2, 3]), "the heaviest");
        let second = [(1, 30), (2, 10), (3, 10)];
        assert_eq!(
            round(&tenants, &second),
            BTreeSet::from([2, 3]),
            "not for a little more"
        );
        let late = (0..8).map(|_| round(&tenants, &[(1, 1000)])).next_back();
        assert!(late.is_some_and(|late| late.contains(&1)), "the heaviest of late");
    }

    #[test]
    fn who_keeps_a_seat_keeps_its_series_also_when_it_is_silent() {
        let tenants = Tenants::new(1, 1);
        tenants.record(Uuid::from_u128(1), |_| {});
        let before = tenants.seated();
        for _ in 0..20 {
            round(&tenants, &[]);
        }
        let after = tenants.seated();
        assert!(before.len() == 1 && after.len() == 1 && Arc::ptr_eq(&before[0].1, &after[0].1));
        assert_eq!(
            round(&tenants, &[(2, 100)]),
            BTreeSet::from([2]),
            "until another one calls"
        );
    }

    #[test]
    fn with_no_seats_everybody_is_one_of_the_others() {
        let tenants = Tenants::new(0, 1);
        tenants.record(Uuid::from_u128(1), |_| {});
        assert_eq!(round(&tenants, &[(1, 5)]), BTreeSet::new());
    }

    #[test]
    fn the_lightest_are_forgotten() {
        let tenants = Tenants::new(1, 1);
        let many: Vec<_> = (0..2 * WEIGHED as u128).map(|tenant| (tenant, 1)).collect();
        round(&tenants, &many);
        assert_eq!(tenants.weights.lock().unwrap().len(), WEIGHED);
    }
}
