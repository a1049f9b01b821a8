//! What was asked for a moment ago. Most rows that are read are not read again soon, by whoever opens a lead or walks through
//! all of them: to ask Redis for each, and to tell it, costs more than one look at the database. So an entry is looked for and
//! kept from the second time on.
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// Keys that are remembered, about so many; a newer one takes the place of an older one. Far more than are near, or else Redis
/// would be asked for none but those; as many as a busy process reads while an entry lives.
const PLACES: usize = 1 << 18;

/// Marks of keys by their hashes, in 256 KiB. A key that finds another one's mark, one in 255, is asked for in Redis in vain.
pub(crate) struct Asked {
    /// Zeros come as pages that take no room before they are written: an idle process has none of it.
    marks: Mutex<Vec<u8>>,
    hasher: RandomState,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            marks: Mutex::new(vec![0; PLACES]),
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
        let mark = u8::try_from(hash >> 56).unwrap_or(0).max(1);
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut marks[place], mark) == mark
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
        let count = |of: &str, keys| (0..keys).filter(|key| asked.before(&format!("{of}{key}"))).count();
        let (first, second) = (count("b", 50_000), count("b", 50_000));
        assert!(first < 500, "{first} keys were taken for others");
        assert!(second > 40_000, "only {second} keys of 50,000 are remembered");
        count("c", 8 * PLACES);
        let late = count("b", 50_000);
        assert!(late < 1_000, "{late} keys are remembered for ever");
    }
}
