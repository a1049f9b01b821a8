//! Rounds of background work, counted and timed: work that fails or stands still is seen.
use std::time::{Duration, Instant};

use onekeel_api::Fault;

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

/// Does the background work `task` every `period`, for as long as it is polled. A round that fails is counted, logged and
/// followed by the next.
pub async fn every<F>(period: Duration, task: &'static str, work: impl Fn() -> F)
where
    F: Future<Output = Result<(), Fault>>,
{
    let mut round = tokio::time::interval(period);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let began = Round::begin(task);
        let done = work().await;
        if let Err(fault) = &done {
            tracing::debug!(task, %fault, "a round of background work failed");
        }
        began.end(done.is_ok());
    }
}
