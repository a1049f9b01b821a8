//! A slice of a tenant's minute, spent request by request; and what may be spent while no slice can be had. No I/O here.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onekeel_api::quota::AcquireAllowanceResponse;
use onekeel_api::{ErrorReason, Fault};

const LONGEST_LIFE: Duration = Duration::from_secs(1);
/// While the authority does not answer, it is asked this often.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A slice is as large as the demand of this time.
const AHEAD: Duration = Duration::from_millis(250);
/// Demand is not judged by less than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
const WINDOW: Duration = Duration::from_secs(60);
const MOST_WANTED: i64 = 10_000;

/// What a tenant may still spend here.
#[derive(Default)]
pub(crate) struct Slice {
    left: i64,
    until: Option<Instant>,
    /// When the present slice came, how large it was and what is spent of it: the size of the next follows from them.
    granted_at: Option<Instant>,
    granted: i64,
    spent: i64,
    /// When the authority was last asked without an answer.
    in_vain: Option<Instant>,
    fallback: Option<Fallback>,
}

/// What may be spent while the authority cannot be asked: its own figure, within any minute.
struct Fallback {
    per_minute: i64,
    log: VecDeque<(Instant, i64)>,
}

impl Slice {
    /// Spends `cost` of the slice if it lives and has as much.
    pub fn spend(&mut self, cost: i64) -> bool {
        let alive = self.until.is_some_and(|until| Instant::now() < until);
        if !alive || self.left < cost {
            return false;
        }
        self.left -= cost;
        self.spent += cost;
        true
    }

    /// What the demand of late spends in [`AHEAD`], at most twice the last slice: a slice is used up long before it
    /// ends, so that little is lost with it, and a single burst does not make a large one.
    pub fn next_want(&self, cost: i64) -> i64 {
        let elapsed = self
            .granted_at
            .map_or(LONGEST_LIFE, |at| at.elapsed().clamp(SHORTEST_LOOK, LONGEST_LIFE));
        let demand = self.spent * micros(AHEAD) / micros(elapsed);
        demand.min(self.granted * 2).max(cost).min(MOST_WANTED)
    }

    /// Takes what was granted to a question of the time `asked`, and spends `cost` of it.
    pub fn refill(&mut self, answer: &AcquireAllowanceResponse, asked: Instant, cost: i64) -> Result<(), Fault> {
        let life = duration(answer.life.as_ref()).min(LONGEST_LIFE);
        let alive = self.until.is_some_and(|until| Instant::now() < until);
        // What is left of a living slice lives no longer than before, so the sum takes the shorter life.
        let until = asked + life;
        self.until = Some(if alive && self.left > 0 {
            self.until.map_or(until, |old| old.min(until))
        } else {
            until
        });
        self.left = if alive {
            self.left + answer.granted
        } else {
            answer.granted
        };
        (self.granted_at, self.granted, self.spent) = (Some(Instant::now()), answer.granted, 0);
        self.in_vain = None;
        let log = self.fallback.take().map(|fallback| fallback.log).unwrap_or_default();
        self.fallback = Some(Fallback {
            per_minute: answer.fallback_per_minute,
            log,
        });
        if self.spend(cost) {
            return Ok(());
        }
        Err(rate_limited(answer.limit, duration(answer.retry_after.as_ref())))
    }

    /// Notes that a question of the time `asked` got no answer.
    pub fn note_in_vain(&mut self, asked: Instant) {
        self.in_vain = Some(asked);
    }

    /// Whether the authority was asked in vain a moment ago: then nobody waits for it again.
    pub fn asked_in_vain(&self) -> Option<Fault> {
        let lately = self.in_vain.is_some_and(|asked| asked.elapsed() < ASK_AGAIN);
        lately.then(|| Fault::unavailable("the authority was not reachable a moment ago"))
    }

    /// Spends `cost` of this process's own share; `fault` is why the authority was not asked, or did not answer.
    pub fn fall_back(&mut self, cost: i64, fault: Fault) -> Result<(), Fault> {
        metrics::counter!("onekeel_allowance_fallbacks_total").increment(1);
        // A tenant whose limit this process never learned is not let in on a guess.
        let Some(fallback) = &mut self.fallback else {
            return Err(Fault::unavailable("the request allowance cannot be checked; try again").cause(fault));
        };
        while fallback.log.front().is_some_and(|(at, _)| at.elapsed() >= WINDOW) {
            fallback.log.pop_front();
        }
        let spent: i64 = fallback.log.iter().map(|(_, cost)| cost).sum();
        if spent + cost > fallback.per_minute {
            let retry = fallback
                .log
                .front()
                .map_or(WINDOW, |(at, _)| WINDOW.saturating_sub(at.elapsed()));
            return Err(rate_limited(fallback.per_minute, retry));
        }
        fallback.log.push_back((Instant::now(), cost));
        Ok(())
    }
}

fn rate_limited(limit: i64, retry: Duration) -> Fault {
    let retry = retry.max(Duration::from_millis(1));
    Fault::new(
        ErrorReason::RateLimited,
        format!("the plan's limit of {limit} requests a minute is reached"),
    )
    .fact("limit", limit)
    .quota_violation("requests_per_minute", &format!("{limit} requests a minute"))
    .retry_after(retry)
}

fn duration(wire: Option<&prost_types::Duration>) -> Duration {
    wire.and_then(|wire| Duration::try_from(*wire).ok()).unwrap_or_default()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(granted: i64, limit: i64, fallback_per_minute: i64) -> AcquireAllowanceResponse {
        AcquireAllowanceResponse {
            granted,
            life: prost_types::Duration::try_from(LONGEST_LIFE).ok(),
            limit,
            remaining: 0,
            retry_after: None,
            fallback_per_minute,
        }
    }

    #[test]
    fn a_slice_is_spent_once_and_not_after_its_life() {
        let mut state = Slice::default();
        assert!(!state.spend(1), "nothing was granted yet");
        state
            .refill(&slice(3, 100, 100), Instant::now(), 1)
            .expect("one of three");
        assert!(state.spend(2) && !state.spend(1), "three in all");
        let late = Instant::now()
            .checked_sub(LONGEST_LIFE)
            .expect("a clock that runs for a second");
        state
            .refill(&slice(3, 100, 100), late, 1)
            .expect_err("the answer came after the slice's life");
    }

    #[test]
    fn slices_follow_the_demand_and_at_most_double() {
        let mut state = Slice::default();
        assert_eq!(state.next_want(1), 1);
        state.refill(&slice(8, 100, 100), Instant::now(), 8).expect("granted");
        assert_eq!(state.next_want(1), 16, "used up at once");
        state.granted_at = Instant::now().checked_sub(LONGEST_LIFE);
        assert_eq!(state.next_want(1), 2, "eight in a second are two in a quarter");
        assert_eq!(state.next_want(10), 10, "never less than a call costs");
    }

    #[test]
    fn without_the_authority_only_the_share_of_a_known_limit_is_spent() {
        let gone = || Fault::unavailable("gone");
        let mut state = Slice::default();
        let unknown = state.fall_back(1, gone()).expect_err("no limit is known");
        assert_eq!(unknown.reason(), ErrorReason::Unavailable);
        state.refill(&slice(1, 100, 5), Instant::now(), 1).expect("granted");
        for _ in 0..5 {
            state.fall_back(1, gone()).expect("within the share");
        }
        let beyond = state.fall_back(1, gone()).expect_err("beyond the share");
        assert_eq!(beyond.reason(), ErrorReason::RateLimited);
        assert!(beyond.retry_delay().is_some_and(|wait| wait <= WINDOW));
    }
}
