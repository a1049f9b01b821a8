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
    /// Spent of the present slice, for the size of the next.
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

    /// Twice the last slice when it was used up within its life, else as much as it served: slices follow the demand.
    fn next_want(&self, cost: i64) -> i64 {
        let used_up = self.until.is_some_and(|until| Instant::now() < until);
        let want = if used_up { self.spent * 2 } else { self.spent };
        want.max(cost).min(MOST_WANTED)
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
        self.spent = 0;
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
