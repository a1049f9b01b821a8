//! What a tenant uses, counted where it is used: the call's own work adds to the counters that its task carries.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: Arc<Meter>;
}

/// The counters of one tenant and one day, shared by all its calls. Adding is one atomic.
#[derive(Debug, Default)]
pub struct Meter {
    calls: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    database_micros: AtomicU64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Calls of the tenant's own users that have ended.
    pub requests: u64,
    /// Those of them that were not answered with OK.
    pub errors: u64,
    /// Rows that count towards a limit and were created or brought back.
    pub rows: u64,
    /// Bytes of messages, in both directions.
    pub bytes: u64,
    /// Time in which calls held a database connection.
    pub database_micros: u64,
}

impl Meter {
    /// The meter of the present call; `None` in background work.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Counts a call that has ended, whoever made it.
    pub fn note_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls have ended since this was asked last.
    pub fn take_calls(&self) -> u64 {
        self.calls.swap(0, Ordering::Relaxed)
    }

    /// Counts a request of the tenant's own that has ended.
    pub fn note_request(&self, ok: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !ok {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts bytes of messages.
    pub fn note_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts rows that the present call created; in background work nobody does.
    pub fn note_rows(rows: u64) {
        let add = |meter: &Arc<Self>| meter.rows.fetch_add(rows, Ordering::Relaxed);
        let _background = CURRENT.try_with(add);
    }

    /// Counts time in which the present call held a database connection; in background work nobody does.
    pub fn note_database(took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let add = |meter: &Arc<Self>| meter.database_micros.fetch_add(micros, Ordering::Relaxed);
        let _background = CURRENT.try_with(add);
    }

    /// Whether fewer requests and rows than so many are counted.
    pub fn is_below(&self, few: u64) -> bool {
        let [requests, rows] = [&self.requests, &self.rows].map(|count| count.load(Ordering::Relaxed));
        requests.saturating_add(rows) < few
    }

    /// Empties the counters. What is added meanwhile is in this answer or in the next.
    pub fn take(&self) -> Used {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Used {
            requests: take(&self.requests),
            errors: take(&self.errors),
            rows: take(&self.rows),
            bytes: take(&self.bytes),
            database_micros: take(&self.database_micros),
        }
    }

    /// Puts back what could not be written down.
    pub fn give_back(&self, used: Used) {
        for (count, more) in [
            (&self.requests, used.requests),
            (&self.errors, used.errors),
            (&self.rows, used.rows),
            (&self.bytes, used.bytes),
            (&self.database_micros, used.database_micros),
        ] {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Runs `work` at the expense of this meter.
    pub fn scope<F: Future>(self: Arc<Self>, work: F) -> TaskLocalFuture<Arc<Self>, F> {
        CURRENT.scope(self, work)
    }

    /// Runs one step of a stream at the expense of this meter.
    pub fn sync_scope<T>(self: &Arc<Self>, step: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), step)
    }
}

impl Used {
    /// Whether nothing was counted.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_adds_to_the_meter_of_its_call_and_background_work_to_none() {
        let meter = Arc::new(Meter::default());
        Meter::note_rows(5);
        let work = async {
            Meter::note_rows(2);
            Meter::note_database(Duration::from_micros(7));
        };
        meter.clone().scope(work).await;
        meter.sync_scope(|| Meter::note_rows(1));
        meter.note_request(true);
        meter.note_request(false);
        meter.note_bytes(9);
        let used = meter.take();
        let expected = Used {
            requests: 2,
            errors: 1,
            rows: 3,
            bytes: 9,
            database_micros: 7,
        };
        assert_eq!(used, expected);
        assert!(meter.take().is_nothing(), "what was taken is gone");
        meter.give_back(used);
        assert_eq!(meter.take(), expected, "what came back is there");
    }
}
