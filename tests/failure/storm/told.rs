//! What callers have been told, and what therefore must be true in the end.
use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

/// Of one actor or of all of them.
#[derive(Debug, Default)]
pub struct Told {
    /// Leads that must be there, with the company that was acknowledged last, where that is known.
    pub alive: HashMap<Uuid, Option<String>>,
    /// Leads that must be gone.
    pub deleted: HashSet<Uuid>,
    /// Leads whose last call had an outcome that nobody knows.
    pub doubtful: HashSet<Uuid>,
    /// Ids that two different creations were answered with.
    pub twice: Vec<Uuid>,
    pub creates: usize,
    pub updates: usize,
    pub deletes: usize,
    pub undeletes: usize,
    /// Calls whose outcome the caller does not know.
    pub unknown: usize,
    pub refused: BTreeMap<&'static str, usize>,
}

impl Told {
    /// A creation was acknowledged.
    pub fn created(&mut self, id: Uuid) {
        self.creates += 1;
        let known = self.deleted.contains(&id) || self.doubtful.contains(&id);
        if self.alive.insert(id, Some(String::new())).is_some() || known {
            self.twice.push(id);
        }
    }

    /// Nobody knows any more whether the lead is there.
    pub fn doubt(&mut self, id: Uuid) {
        self.alive.remove(&id);
        self.deleted.remove(&id);
        self.doubtful.insert(id);
    }

    pub fn refused(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        self.twice.extend(other.twice);
        for (id, company) in other.alive {
            if self.alive.insert(id, company).is_some() {
                self.twice.push(id);
            }
        }
        self.deleted.extend(other.deleted);
        self.doubtful.extend(other.doubtful);
        self.creates += other.creates;
        self.updates += other.updates;
        self.deletes += other.deletes;
        self.undeletes += other.undeletes;
        self.unknown += other.unknown;
        for (reason, calls) in other.refused {
            *self.refused.entry(reason).or_default() += calls;
        }
    }
}
