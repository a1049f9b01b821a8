//! Whether what is remembered is covered by what an authority tells of changes.
//!
//! An answer that was asked for after a look at the changes is true for as long as looks go on without telling of it: a
//! change that the answer does not have was committed after it, and the first look after that tells it.
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Grows whenever what is remembered is no longer covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition(u64);

/// What was heard of changes.
pub(crate) struct News {
    began: Instant,
    /// Microseconds from `began` to when the last answer was asked for; 0 before the first.
    asked: AtomicU64,
    edition: AtomicU64,
    cursor: AtomicI64,
    run: AtomicI64,
}

impl Default for News {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            asked: AtomicU64::new(0),
            edition: AtomicU64::new(0),
            cursor: AtomicI64::new(0),
            run: AtomicI64::new(0),
        }
    }
}

impl News {
    /// Without an answer for so long, nothing is covered.
    pub const LONGEST_SILENCE: Duration = Duration::from_millis(1500);

    /// As if it had begun so long ago.
    #[cfg(test)]
    pub fn aged(mut self, age: Duration) -> Self {
        self.began = self.began.checked_sub(age).expect("the machine is up for longer");
        self
    }

    /// What an answer that is asked for now belongs to.
    pub fn edition(&self) -> Edition {
        Edition(self.edition.load(Ordering::SeqCst))
    }

    /// Whether a change of what was asked for in this edition would have been told.
    pub fn covers(&self, edition: Edition, now: Instant) -> bool {
        let asked = self.asked.load(Ordering::SeqCst);
        asked != 0 && edition == self.edition() && self.micros(now) < asked + silence()
    }

    /// Until when a change of what was asked for in this edition would have been told; none where none would.
    pub fn true_at(&self, edition: Edition) -> Option<Instant> {
        let asked = self.asked.load(Ordering::SeqCst);
        let heard = asked != 0 && edition == self.edition();
        heard.then(|| self.began + Duration::from_micros(asked))
    }

    /// Where to go on; 0 before the first answer.
    pub fn cursor(&self) -> i64 {
        self.cursor.load(Ordering::SeqCst)
    }

    /// The run of the database that told it.
    pub fn run(&self) -> i64 {
        self.run.load(Ordering::SeqCst)
    }

    /// An answer that tells all since the one before; call it when what it told is forgotten.
    pub fn go_on(&self, cursor: i64, asked: Instant) {
        self.cursor.store(cursor, Ordering::SeqCst);
        self.asked.store(self.micros(asked).max(1), Ordering::SeqCst);
    }

    /// An answer before which nothing was told, or not all, or by another run of the database.
    pub fn begin(&self, run: i64, cursor: i64, asked: Instant) {
        self.edition.fetch_add(1, Ordering::SeqCst);
        self.run.store(run, Ordering::SeqCst);
        self.go_on(cursor, asked);
    }

    /// From when it began to `at`.
    pub fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

fn silence() -> u64 {
    u64::try_from(News::LONGEST_SILENCE.as_micros()).unwrap_or(u64::MAX)
}
