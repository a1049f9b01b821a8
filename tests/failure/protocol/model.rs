//! The protocol as it should be: a few numbers, and no database.
use std::collections::BTreeSet;

use uuid::Uuid;

/// A lease, living or ended.
#[derive(Clone, Debug)]
pub struct Lease {
    pub id: Uuid,
    pub resource: usize,
    pub amount: i64,
    pub request: Option<Uuid>,
    /// First unit that no transaction has taken.
    pub next: i64,
    /// Units of committed charges.
    pub committed: i64,
    /// First units of committed charges.
    pub spent: BTreeSet<i64>,
    /// Open transactions with a charge of it.
    pub open: usize,
    pub living: bool,
    /// Its time is over: it may end at any moment when nobody uses it.
    pub expired: bool,
}

/// What a wish must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Granted,
    /// The leases that the same request id got before.
    Same(Vec<Uuid>),
    /// The request id was used for another wish.
    Conflict,
    /// Rows hold every unit.
    Exceeded,
    /// Transactions that are open hold the units: nobody can know.
    InUse,
}

/// Of one tenant.
#[derive(Clone, Debug)]
pub struct Model {
    pub caps: [i64; 2],
    /// Committed charges without what was given back.
    pub rows: [i64; 2],
    pub leases: Vec<Lease>,
}

impl Model {
    pub fn living(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().filter(|lease| lease.living)
    }

    pub fn get(&mut self, id: Uuid) -> &mut Lease {
        let found = self.leases.iter_mut().find(|lease| lease.id == id);
        found.expect("every lease is known from its grant on")
    }

    /// What a wish for `min` units of each of `resources` comes to after every lease that nobody uses was settled.
    pub fn outcome(&self, resources: &[usize], min: i64) -> Outcome {
        for resource in resources {
            let in_use = self
                .living()
                .filter(|lease| lease.resource == *resource && lease.open > 0);
            let kept: Vec<i64> = in_use.map(|lease| lease.amount - lease.committed).collect();
            if self.rows[*resource] + kept.iter().sum::<i64>() + min > self.caps[*resource] {
                return if kept.is_empty() {
                    Outcome::Exceeded
                } else {
                    Outcome::InUse
                };
            }
        }
        Outcome::Granted
    }

    /// What the request id leads to while there is room at once: nothing, the same leases, or a conflict.
    pub fn known(&self, request: Uuid, resources: &[usize]) -> Option<Outcome> {
        let mut found: Vec<&Lease> = self.living().filter(|lease| lease.request == Some(request)).collect();
        found.sort_by_key(|lease| lease.resource);
        if !found.iter().any(|lease| resources.contains(&lease.resource)) {
            return None;
        }
        let same = found.iter().map(|lease| lease.resource).eq(resources.iter().copied());
        Some(if same {
            Outcome::Same(found.iter().map(|lease| lease.id).collect())
        } else {
            Outcome::Conflict
        })
    }
}
