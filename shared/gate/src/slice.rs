//! A slice of a tenant's minute, spent request by request; and what may be spent while no slice can be had. No I/O here.
use std::time::{Duration, Instant};

use http::HeaderValue;
use onekeel_api::Fault;
use onekeel_api::call::RateLimit;
use onekeel_api::quota::AcquireAllowanceResponse;
use uuid::Uuid;

use crate::announce;
use crate::fallback::{ASK_AGAIN, Fallback, WINDOW};
use crate::refusal::Refusal;

const LIFE: Duration = Duration::from_secs(1);
const LONGEST_LIFE: Duration = Duration::from_secs(60);
/// For so long after a change, the authority may still grant by what was before it; such slices live short.
const UNSETTLED: Duration = Duration::from_secs(2);
/// A slice is as large as the demand of this time, since what is left of a slice is lost with it; far from the limit of nine
/// tenths of its life, since there is enough and each question costs.
const AHEAD: Duration = Duration::from_millis(250);
/// Demand is not judged by less than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
const MOST_WANTED: i64 = 10_000;
/// Slices that live at least for so long are asked for again before they end, so that no call waits.
const LONG_LIFE: Duration = Duration::from_secs(30);
/// Slices that live long are no smaller than such a part of the limit.
const WORTH_A_QUESTION: i64 = 1_000;

/// What a tenant may still spend here.
#[derive(Default)]
pub(crate) struct Slice {
    left: i64,
    until: Option<Instant>,
    /// When the present slice came, how long it lives, how large it was and what is spent of it: the size of the next follows
    /// from them.
    granted_at: Option<Instant>,
    life: Option<Duration>,
    granted: i64,
    spent: i64,
    /// When it was last told that the limit may be another one.
    ended: Option<Instant>,
    /// When the authority was last asked without an answer.
    in_vain: Option<Instant>,
    /// From when on it is asked for again, until somebody was told so.
    renew_from: Option<Instant>,
    /// Few tenants have one, so that it does not take its place in each.
    refused: Option<Box<Refusal>>,
    fallback: Fallback,
    told: Option<Told>,
}

/// What the authority said last of the tenant's limit.
struct Told {
    limit: i64,
    policy: HeaderValue,
    remaining: i64,
    life: Duration,
    /// When it was asked.
    asked: Instant,
}

impl Slice {
    /// Spends `cost` of the slice if it lives and has as much.
    pub fn spend(&mut self, cost: i64, now: Instant) -> bool {
        if self.living(now) < cost {
            return false;
        }
        self.left -= cost;
        self.spent += cost;
        true
    }

    /// Whether the slice should be asked for again before it ends; says so once.
    pub fn ends_soon(&mut self, now: Instant) -> bool {
        self.renew_from.take_if(|from| *from <= now).is_some()
    }

    /// What is left of the slice; nothing after its life.
    fn living(&self, now: Instant) -> i64 {
        let alive = self.until.is_some_and(|until| now < until);
        if alive { self.left } else { 0 }
    }

    /// What an answer says of the limit after a call was let in, or refused with this time to retry. Nothing is known
    /// of a tenant that never had an allowance here.
    ///
    /// What is left is an estimate: less, when other processes spend meanwhile; more, when grants of a minute ago are
    /// forgotten meanwhile.
    pub fn announce(&mut self, retry: Option<Duration>, now: Instant) -> Option<RateLimit> {
        let told = self.told.as_ref()?;
        let alone = self.asked_in_vain().is_some();
        let left = match (alone, self.living(now)) {
            (true, 0) => self.fallback.left(),
            (true, living) => Some(living),
            (false, living) => Some(told.remaining + living),
        };
        let forgotten = (WINDOW + told.life).saturating_sub(now.saturating_duration_since(told.asked));
        let after = retry.unwrap_or(if alone { WINDOW } else { forgotten });
        Some(RateLimit {
            policy: told.policy.clone(),
            state: left.map(|left| announce::state(left, after)),
        })
    }

    /// What the demand of late spends in the time ahead, at most a few times the last slice, so that a single burst does not
    /// make a large one.
    pub fn next_want(&self, cost: i64) -> i64 {
        let life = self.life.unwrap_or(LIFE);
        let elapsed = self
            .granted_at
            .map_or(life, |at| at.elapsed().clamp(SHORTEST_LOOK, life));
        let want = |ahead, times, least: i64| {
            let demand = self.spent * micros(ahead) / micros(elapsed);
            demand.min(self.granted * times).max(least).max(cost).min(MOST_WANTED)
        };
        let far = match &self.told {
            // A slice that lives long takes more steps to grow; so small a part of a limit is not worth a question.
            Some(told) if life > LIFE => want(life * 9 / 10, 4, told.limit / WORTH_A_QUESTION),
            _ => want(life * 9 / 10, 2, 0),
        };
        // As the authority sees it: with three quarters of the limit left after the grant.
        let leaves_enough = |told: &Told| (told.remaining - far).saturating_mul(4) >= told.limit.saturating_mul(3);
        if self.told.as_ref().is_some_and(leaves_enough) {
            far
        } else {
            want(AHEAD, 2, 0)
        }
    }

    /// The limit may be another one: what is left of the slice is not spent.
    pub fn end(&mut self) {
        self.until = None;
        self.refused = None;
        self.ended = Some(Instant::now());
    }

    /// What was spent without the authority and must be told to it.
    pub fn untold(&mut self) -> i64 {
        self.fallback.untold()
    }

    /// Takes what was granted to a question of the time `asked` in place of what is left.
    pub fn renew(&mut self, answer: &AcquireAllowanceResponse, asked: Instant) -> Result<(), Fault> {
        if answer.granted > 0 {
            self.until = None;
            self.refill(answer, asked, 0, 0)?;
        }
        Ok(())
    }

    /// Takes what was granted to a question of the time `asked` that told of `told` requests, and spends `cost` of it.
    pub fn refill(
        &mut self,
        answer: &AcquireAllowanceResponse,
        asked: Instant,
        told: i64,
        cost: i64,
    ) -> Result<(), Fault> {
        // Also of a question that was under way when the change was told.
        let settled = self.ended.is_none_or(|ended| asked >= ended + UNSETTLED);
        let longest = if settled { LONGEST_LIFE } else { LIFE };
        let life = duration(answer.life.as_ref()).min(longest);
        let now = Instant::now();
        // What is left of a living slice lives no longer than before, so the sum takes the shorter life.
        let (living, until) = (self.living(now), asked + life);
        self.until = Some(if living > 0 {
            self.until.map_or(until, |old| old.min(until))
        } else {
            until
        });
        self.left = living + answer.granted;
        (self.granted_at, self.granted, self.spent) = (Some(now), answer.granted, 0);
        self.renew_from = (life >= LONG_LIFE).then(|| asked + spread(life));
        self.life = Some(life.max(LIFE));
        self.in_vain = None;
        self.refused = None;
        self.fallback.learn(answer, told);
        let known = self.told.take().filter(|known| known.limit == answer.limit);
        self.told = Some(Told {
            limit: answer.limit,
            policy: known.map_or_else(|| announce::policy(answer.limit), |known| known.policy),
            remaining: answer.remaining,
            life,
            asked,
        });
        if self.spend(cost, now) {
            return Ok(());
        }
        let retry = duration(answer.retry_after.as_ref());
        if answer.uncertain {
            let lost = "what was spent of the request allowance is not known at present; try again";
            return Err(Fault::unavailable(lost).retry_after(retry));
        }
        if answer.granted >= cost {
            // No limit refused: the answer took longer than a slice lives, and that is no answer.
            return self.fall_back(cost, Fault::unavailable("the request allowance came too late"));
        }
        let refusal = Refusal::new(answer.limit, cost, asked, retry);
        let fault = refusal.fault(now);
        self.refused = settled.then(|| Box::new(refusal));
        Err(fault)
    }

    /// The refusal of `cost`, where the authority gave it a moment ago and cannot have another answer yet.
    pub fn refused(&self, cost: i64, now: Instant) -> Option<Fault> {
        self.refused
            .as_ref()
            .filter(|refused| refused.covers(cost, now))
            .map(|refused| refused.fault(now))
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

    /// Spends `cost` by the policy for such times; `fault` is why the authority was not asked, or did not answer.
    pub fn fall_back(&mut self, cost: i64, fault: Fault) -> Result<(), Fault> {
        self.fallback.spend(cost, fault)
    }
}

/// Half of a life up to nineteen twentieths of it, so that what was granted together is not asked for again together.
fn spread(life: Duration) -> Duration {
    let by = u32::from(Uuid::now_v7().as_bytes()[15]);
    life / 2 + life * 9 / 20 * by / 255
}

fn duration(wire: Option<&prost_types::Duration>) -> Duration {
    wire.and_then(|wire| Duration::try_from(*wire).ok()).unwrap_or_default()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "slice_tests.rs"]
mod tests;
