//! What was asked for a moment ago. Most rows that are read are not read again soon, by whoever opens a lead or walks through
//! all of them: to ask Redis for each, and to tell it, costs more than one look at the database. So an entry is looked for and
//! kept from the second time on.
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

/// Keys that are remembered, about so many; a newer one takes the place of an older one.
const PLACES: usize = 8192;

/// Marks of keys by their hashes, in 32 KiB. Keys that share a mark, one pair in two billion, are taken for the same.
pub(crate) struct Asked {
    marks: Box<[AtomicU32]>,
    hasher: RandomState,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            marks: (0..PLACES).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Asked {
    /// Whether this key was asked for before; from now on it was.
    pub fn before(&self, key: &str) -> bool {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        // Never the mark of an empty place.
        let mark = u32::try_from(hash >> 32).unwrap_or(0) | 1;
        self.marks[place].swap(mark, Ordering::Relaxed) == mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_the_second_time_and_forgotten_under_many_others() {
        let asked = Asked::default();
        assert!(!asked.before("a"));
        assert!(asked.before("a"));
        let known = (0..PLACES).filter(|number| asked.before(&format!("b{number}"))).count();
        assert!(known < 10, "{known} keys were taken for others");
        for number in 0..20 * PLACES {
            asked.before(&format!("c{number}"));
        }
        assert!(!asked.before("a"));
    }
}
