//! What this process has read from Redis a moment ago. Redis tells when a key changes; while it cannot tell, nothing is
//! kept.
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// A path to Redis that died without a word is believed for no longer than this after it was last heard.
const LONGEST_BELIEF: Duration = Duration::from_secs(2);
const EXPECTED_KEYS: usize = 1000;
const STAMPS: usize = 1024;
/// What a key costs beside its text and its value.
const OVERHEAD: usize = 96;

/// What Redis holds below one key; nothing is an answer too.
pub(crate) type Raw = Option<Bytes>;

#[derive(Clone)]
struct Known {
    raw: Raw,
    epoch: u64,
}

#[derive(Clone)]
struct Size;

impl Weighter<Box<str>, Known> for Size {
    fn weight(&self, key: &Box<str>, known: &Known) -> u64 {
        let bytes = key.len() + known.raw.as_ref().map_or(0, Bytes::len) + OVERHEAD;
        bytes.try_into().unwrap_or(u64::MAX)
    }
}

/// When a read began, as one key sees it: what was read is kept only if the key has not changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    epoch: u64,
    changes: u64,
}

impl Stamp {
    /// Nobody tells what changes.
    pub fn is_deaf(self) -> bool {
        self.epoch.is_multiple_of(2)
    }
}

/// Answers of Redis by key, bounded by their bytes.
pub(crate) struct Near {
    known: Cache<Box<str>, Known, Size>,
    /// Odd while Redis tells what changes. Every change of it makes all that is known worthless.
    epoch: AtomicU64,
    began: Instant,
    /// Milliseconds since `began` until which all that is known is believed.
    believed: AtomicU64,
    /// Changes by hash of the key; keys that share a counter disturb one another, which costs a read.
    changes: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Near {
    pub fn new(bytes: u64) -> Self {
        Self {
            known: Cache::with_weighter(EXPECTED_KEYS, bytes, Size),
            epoch: AtomicU64::new(0),
            began: Instant::now(),
            believed: AtomicU64::new(0),
            changes: (0..STAMPS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// From now on Redis tells.
    pub fn listen(&self) {
        let listens = |epoch: u64| epoch % 2 == 1;
        let next = |epoch| Some(if listens(epoch) { epoch + 2 } else { epoch + 1 });
        let _was = self.epoch.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        self.known.clear();
    }

    /// From now on it does not, or may have told what nobody heard.
    pub fn forget_all(&self) {
        let next = |epoch| (epoch % 2 == 1).then_some(epoch + 1);
        let _was = self.epoch.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        self.known.clear();
    }

    /// Redis has answered a question that was asked at `asked`, behind everything that it had to tell until then.
    pub fn heard(&self, asked: Instant) {
        let until = self.millis(asked + LONGEST_BELIEF);
        self.believed.fetch_max(until, Ordering::SeqCst);
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        since.as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// This key has changed, or is about to.
    pub fn changed(&self, key: &str) {
        self.counter(key).fetch_add(1, Ordering::SeqCst);
        self.known.remove(key);
    }

    pub fn stamp(&self, key: &str) -> Stamp {
        Stamp {
            epoch: self.epoch.load(Ordering::SeqCst),
            changes: self.counter(key).load(Ordering::SeqCst),
        }
    }

    pub fn get(&self, key: &str) -> Option<Raw> {
        let known = self.known.get(key)?;
        let told = known.epoch == self.epoch.load(Ordering::SeqCst);
        let believed = self.millis(Instant::now()) < self.believed.load(Ordering::SeqCst);
        (told && believed).then_some(known.raw)
    }

    /// Keeps an answer, unless the key has changed since `began`.
    pub fn keep(&self, key: &str, raw: &Raw, began: Stamp) {
        if began.is_deaf() || self.stamp(key) != began {
            return;
        }
        let known = Known {
            // A copy of its own: what Redis sent is a piece of a buffer that would stay as a whole.
            raw: raw.as_deref().map(Bytes::copy_from_slice),
            epoch: began.epoch,
        };
        self.known.insert(key.into(), known);
        // A change between the look and the insert has removed nothing.
        if self.stamp(key) != began {
            self.known.remove(key);
        }
    }

    /// Bytes that are held.
    pub fn weight(&self) -> u64 {
        self.known.weight()
    }

    fn counter(&self, key: &str) -> &AtomicU64 {
        let hash = usize::try_from(self.hasher.hash_one(key) % STAMPS as u64).unwrap_or(0);
        &self.changes[hash]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Raw = Some(Bytes::from_static(b"1"));

    fn listening() -> Near {
        let near = Near::new(10_000);
        near.listen();
        near.heard(Instant::now());
        near
    }

    #[test]
    fn an_answer_is_kept_while_redis_tells_and_the_key_has_not_changed() {
        let near = Near::new(10_000);
        near.keep("a", &ONE, near.stamp("a"));
        assert_eq!(near.get("a"), None, "nobody listens yet");
        near.listen();
        near.keep("a", &ONE, near.stamp("a"));
        assert_eq!(near.get("a"), None, "Redis was not heard yet");
        near.heard(Instant::now());
        near.keep("a", &ONE, near.stamp("a"));
        assert_eq!(near.get("a"), Some(ONE));
        let began = near.stamp("a");
        near.changed("a");
        assert_eq!(near.get("a"), None);
        near.keep("a", &ONE, began);
        assert_eq!(near.get("a"), None, "it changed while it was read");
        near.keep("a", &None, near.stamp("a"));
        assert_eq!(near.get("a"), Some(None));
    }

    #[test]
    fn a_break_makes_all_that_is_known_worthless() {
        let near = listening();
        let began = near.stamp("a");
        near.keep("a", &ONE, began);
        near.forget_all();
        assert_eq!(near.get("a"), None);
        near.listen();
        near.keep("a", &ONE, began);
        assert_eq!(near.get("a"), None, "it was read before the break");
        near.listen();
        assert_ne!(near.stamp("a"), began);
    }

    #[test]
    fn a_silent_redis_is_not_believed() {
        let near = listening();
        near.keep("a", &ONE, near.stamp("a"));
        assert_eq!(near.get("a"), Some(ONE));
        let silent = Near::new(10_000);
        silent.listen();
        silent.heard(Instant::now().checked_sub(LONGEST_BELIEF).unwrap());
        silent.keep("a", &ONE, silent.stamp("a"));
        assert_eq!(silent.get("a"), None);
        silent.heard(Instant::now());
        assert_eq!(silent.get("a"), Some(ONE), "nothing changed meanwhile");
    }

    #[test]
    fn it_holds_no_more_than_its_bytes() {
        let near = listening();
        for number in 0..1000 {
            let key = format!("key {number}");
            near.keep(&key, &ONE, near.stamp(&key));
        }
        assert!(near.weight() <= 10_000, "{} bytes", near.weight());
    }
}
