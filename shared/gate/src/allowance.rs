//! Requests that a tenant may make: slices leased from QuotaService and spent here without asking again.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onekeel_api::quota::{AcquireAllowanceRequest, AcquireAllowanceResponse};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;

use crate::Peers;

const LONGEST_CALL: Duration = Duration::from_millis(900);
const LONGEST_LIFE: Duration = Duration::from_secs(1);
/// A slice is as large as the demand of this time.
const AHEAD: Duration = Duration::from_millis(250);
/// Demand is not judged by less than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
const WINDOW: Duration = Duration::from_secs(60);
const MOST_WANTED: i64 = 10_000;
const REMEMBERED_TENANTS: usize = 10_000;

pub(crate) struct Allowances {
    peers: Peers,
    slots: Cache<ClientId, Arc<Slot>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    left: i64,
    until: Option<Instant>,
    /// When the present slice came, how large it was and what is spent of it: the size of the next follows from them.
    granted_at: Option<Instant>,
    granted: i64,
    spent: i64,
    fallback: Option<Fallback>,
}

/// What may be spent while the authority cannot be asked: its own figure, within any minute.
struct Fallback {
    per_minute: i64,
    log: VecDeque<(Instant, i64)>,
}

impl Allowances {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            slots: Cache::new(REMEMBERED_TENANTS),
        }
    }

    /// Spends `cost` requests of the tenant's allowance, or says when to try again.
    pub async fn spend(&self, tenant: &Tenant, cost: i64) -> Result<(), Fault> {
        let made = self
            .slots
            .get_or_insert_with(&tenant.id(), || Ok::<_, Fault>(Arc::default()));
        let slot = made?;
        if slot.state().spend(cost) {
            return Ok(());
        }
        let _flight = slot.flight.lock().await;
        let want = {
            let mut state = slot.state();
            if state.spend(cost) {
                return Ok(());
            }
            state.next_want(cost)
        };
        // Its life counts from before the question, so that no answer, however slow, is spent too late.
        let asked = Instant::now();
        match self.ask(tenant, want, cost).await {
            Ok(answer) => slot.state().refill(&answer, asked, cost),
            Err(fault)
                if fault.reason() == ErrorReason::Unavailable || fault.reason() == ErrorReason::DeadlineExceeded =>
            {
                metrics::counter!("onekeel_allowance_fallbacks_total").increment(1);
                slot.state().fall_back(cost, fault)
            }
            Err(fault) => Err(fault),
        }
    }

    async fn ask(&self, tenant: &Tenant, want: i64, least: i64) -> Result<AcquireAllowanceResponse, Fault> {
        let request = self
            .peers
            .request(tenant, AcquireAllowanceRequest { want, least }, LONGEST_CALL)?;
        let answer = self.peers.quota().acquire_allowance(request).await;
        Ok(answer.map_err(|status| Fault::from_status(&status))?.into_inner())
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spend(&mut self, cost: i64) -> bool {
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
    fn next_want(&self, cost: i64) -> i64 {
        let elapsed = self
            .granted_at
            .map_or(LONGEST_LIFE, |at| at.elapsed().clamp(SHORTEST_LOOK, LONGEST_LIFE));
        let demand = self.spent * micros(AHEAD) / micros(elapsed);
        demand.min(self.granted * 2).max(cost).min(MOST_WANTED)
    }

    fn refill(&mut self, answer: &AcquireAllowanceResponse, asked: Instant, cost: i64) -> Result<(), Fault> {
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

    fn fall_back(&mut self, cost: i64, fault: Fault) -> Result<(), Fault> {
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
        let mut state = State::default();
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
        let mut state = State::default();
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
        let mut state = State::default();
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
