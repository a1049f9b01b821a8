//! Rounds of background work, counted and timed: work that fails or stands still is seen.
use std::time::Instant;

/// A round that has begun.
#[must_use = "a round counts when it ends"]
pub struct Round {
    task: &'static str,
    began: Instant,
}

impl Round {
    /// Begins a round of the background work `task`.
    pub fn begin(task: &'static str) -> Self {
        Self {
            task,
            began: Instant::now(),
        }
    }

    /// Ends it; `well` when nothing in it failed.
    pub fn end(self, well: bool) {
        let outcome = if well { "done" } else { "failed" };
        metrics::counter!("onekeel_background_rounds_total", "task" => self.task, "outcome" => outcome).increment(1);
        metrics::histogram!("onekeel_background_round_seconds", "task" => self.task).record(self.began.elapsed());
    }
}
