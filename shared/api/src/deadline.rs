//! The point in time at which the caller stops waiting; every wait inside a call ends before it.
use std::time::{Duration, Instant};

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: Deadline;
}

/// When the call that runs now is no longer worth answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `after` from now.
    pub fn after(after: Duration) -> Self {
        Self(Instant::now() + after)
    }

    /// A deadline at a point in time.
    pub fn at(at: Instant) -> Self {
        Self(at)
    }

    /// The deadline of the call that runs now; `None` outside a call and in spawned tasks.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// Time that is left of the present call, at most `longest`; `longest` outside a call.
    pub fn remaining_or(longest: Duration) -> Duration {
        Self::current().map_or(longest, |deadline| deadline.remaining().min(longest))
    }

    /// Time that is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The point in time itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Runs `work` under this deadline. It does not stop `work`: whoever waits inside asks [`Deadline::current`].
    pub fn scope<F: Future>(self, work: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, work)
    }
}
