//! A refusal is remembered: until the time that it named, the authority has nothing to grant, and asking costs it more than
//! the calls that are let in. No I/O here.
use std::time::{Duration, Instant};

use onekeel_api::{ErrorReason, Fault};

/// For no longer than this, however far the time is: the limit may change meanwhile, or what was counted be forgotten.
const LONGEST: Duration = Duration::from_secs(1);

/// What the authority said when a call was above the limit.
pub(crate) struct Refusal {
    limit: i64,
    cost: i64,
    /// When as much as the call costs may be free.
    free_at: Instant,
    /// When the authority is asked again, which may be before that.
    until: Instant,
}

impl Refusal {
    /// Of a call that costs `cost`, to a question of the time `asked`; as much may be free `retry` later.
    pub fn new(limit: i64, cost: i64, asked: Instant, retry: Duration) -> Self {
        Self {
            limit,
            cost,
            // No minute reaches beyond the end of the clock; an answer may.
            free_at: asked.checked_add(retry).unwrap_or(asked),
            until: asked + retry.min(LONGEST),
        }
    }

    /// Whether it would be the answer to a call that costs `cost` now: to a cheaper one it is none.
    pub fn covers(&self, cost: i64, now: Instant) -> bool {
        cost >= self.cost && now < self.until
    }

    /// What the caller is told, with the time that is left.
    pub fn fault(&self, now: Instant) -> Fault {
        rate_limited(self.limit, self.free_at.saturating_duration_since(now))
    }
}

pub(crate) fn rate_limited(limit: i64, retry: Duration) -> Fault {
    let retry = retry.max(Duration::from_millis(1));
    Fault::new(
        ErrorReason::RateLimited,
        format!("the plan's limit of {limit} requests a minute is reached"),
    )
    .fact("limit", limit)
    .quota_violation("requests_per_minute", &format!("{limit} requests a minute"))
    .retry_after(retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(400);
    const FAR: Duration = Duration::from_secs(30);

    #[test]
    fn it_counts_until_there_may_be_room_and_for_what_costs_as_much() {
        let asked = Instant::now();
        let refusal = Refusal::new(100, 2, asked, SOON);
        assert!(refusal.covers(2, asked) && refusal.covers(3, asked));
        assert!(!refusal.covers(1, asked), "one may be free where two are not");
        assert!(!refusal.covers(2, asked + SOON), "two may be free");
    }

    #[test]
    fn it_names_the_time_that_is_left_and_is_asked_again_each_second() {
        let asked = Instant::now();
        let refusal = Refusal::new(100, 1, asked, FAR);
        let (passed, left) = (Duration::from_millis(900), Duration::from_millis(29_100));
        let later = asked + passed;
        let fault = refusal.fault(later);
        assert_eq!(fault.reason(), ErrorReason::RateLimited);
        assert_eq!(fault.retry_delay(), Some(left));
        assert!(refusal.covers(1, later));
        assert!(!refusal.covers(1, asked + LONGEST), "the limit may be another one");
        let beyond = Refusal::new(100, 1, asked, Duration::MAX);
        assert!(!beyond.covers(1, asked + LONGEST), "no time to wait for");
    }
}
