//! What a process does with a tenant's calls while nobody counts them: by the policy that came with the last allowance.
//! No I/O here.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onekeel_api::Fault;
use onekeel_api::quota::{AcquireAllowanceResponse, FailurePolicy};

use crate::refusal::rate_limited;

/// What limits of requests count in.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// While the authority does not answer, it is asked this often.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What may be spent without the authority: within any minute its own figure, or nothing, or everything.
#[derive(Default)]
pub(crate) struct Fallback {
    policy: FailurePolicy,
    per_minute: i64,
    log: VecDeque<(Instant, i64)>,
    /// Spent by [`FailurePolicy::Bounded`] and not yet told to the authority.
    untold: i64,
}

impl Fallback {
    /// Takes what came with an allowance; `told` was told with the question.
    pub fn learn(&mut self, answer: &AcquireAllowanceResponse, told: i64) {
        self.policy = answer.failure_policy();
        self.per_minute = answer.fallback_per_minute;
        self.untold = (self.untold - told).max(0);
    }

    /// What the authority must be told: it counts nothing that is older than a minute.
    pub fn untold(&mut self) -> i64 {
        let spent = self.spent();
        self.untold = self.untold.min(spent);
        self.untold
    }

    /// What may be spent still; `None` where nothing is counted.
    pub fn left(&mut self) -> Option<i64> {
        match self.policy {
            FailurePolicy::Bounded => Some((self.per_minute - self.spent()).max(0)),
            FailurePolicy::Closed => Some(0),
            FailurePolicy::Open | FailurePolicy::Unspecified => None,
        }
    }

    /// Spends `cost` without asking; `fault` is why the authority was not asked, or did not answer.
    pub fn spend(&mut self, cost: i64, fault: Fault) -> Result<(), Fault> {
        let spent = match self.policy {
            FailurePolicy::Open => Ok(()),
            FailurePolicy::Bounded => self.spend_share(cost),
            // A tenant whose policy this process never learned is not let in on a guess.
            FailurePolicy::Closed | FailurePolicy::Unspecified => {
                Err(Fault::unavailable("the request allowance cannot be checked; try again").cause(fault))
            }
        };
        let outcome = if spent.is_ok() { "admitted" } else { "refused" };
        let policy = self.policy.name();
        metrics::counter!("onekeel_allowance_fallbacks_total", "policy" => policy, "outcome" => outcome).increment(1);
        spent
    }

    fn spend_share(&mut self, cost: i64) -> Result<(), Fault> {
        if self.spent() + cost > self.per_minute {
            let retry = self
                .log
                .front()
                .map_or(WINDOW, |(at, _)| WINDOW.saturating_sub(at.elapsed()));
            return Err(rate_limited(self.per_minute, retry));
        }
        self.log.push_back((Instant::now(), cost));
        self.untold += cost;
        Ok(())
    }

    /// Of the last minute.
    fn spent(&mut self) -> i64 {
        while self.log.front().is_some_and(|(at, _)| at.elapsed() >= WINDOW) {
            self.log.pop_front();
        }
        self.log.iter().map(|(_, cost)| cost).sum()
    }
}

#[cfg(test)]
mod tests {
    use onekeel_api::ErrorReason;

    use super::*;

    fn with(policy: FailurePolicy, fallback_per_minute: i64) -> Fallback {
        let mut fallback = Fallback::default();
        let answer = AcquireAllowanceResponse {
            failure_policy: policy.into(),
            fallback_per_minute,
            ..AcquireAllowanceResponse::default()
        };
        fallback.learn(&answer, 0);
        fallback
    }

    fn gone() -> Fault {
        Fault::unavailable("gone")
    }

    #[test]
    fn bounded_spends_its_share_of_a_minute_and_tells_it_once() {
        let mut fallback = with(FailurePolicy::Bounded, 5);
        for _ in 0..5 {
            fallback.spend(1, gone()).expect("within the share");
        }
        let beyond = fallback.spend(1, gone()).expect_err("beyond the share");
        assert_eq!(beyond.reason(), ErrorReason::RateLimited);
        assert!(beyond.retry_delay().is_some_and(|wait| wait <= WINDOW));
        assert_eq!((fallback.untold(), fallback.left()), (5, Some(0)));
        let answer = AcquireAllowanceResponse {
            failure_policy: FailurePolicy::Bounded.into(),
            fallback_per_minute: 5,
            ..AcquireAllowanceResponse::default()
        };
        fallback.learn(&answer, 5);
        assert_eq!(fallback.untold(), 0, "told");
        fallback.spend(1, gone()).expect_err("the share stays spent");
    }

    #[test]
    fn closed_and_unknown_admit_nothing_and_open_everything() {
        for policy in [FailurePolicy::Closed, FailurePolicy::Unspecified] {
            let refused = with(policy, 5).spend(1, gone()).expect_err("nobody counts");
            assert_eq!(refused.reason(), ErrorReason::Unavailable);
            assert!(refused.retry_delay().is_some(), "says when to try again");
        }
        let mut open = with(FailurePolicy::Open, 5);
        for _ in 0..50 {
            open.spend(1, gone()).expect("everything");
        }
        assert_eq!((open.untold(), open.left()), (0, None), "counted nowhere");
    }
}
