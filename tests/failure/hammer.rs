//! Callers that want more than their tenant may have, and what they got: when each call was let in.
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use onekeel_api::{ErrorReason, Fault};
use onekeel_tests::Member;
use tokio::task::JoinSet;

/// What a limit counts in.
const WINDOW: Duration = Duration::from_secs(60);
/// Between two tries of a caller that was refused.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

const SHORT: Duration = Duration::from_millis(500);
/// How much longer than a minute a call counts at the most, and a little.
const FORGOTTEN: Duration = Duration::from_millis(2500);

/// How a tenant calls.
#[derive(Clone, Copy, Debug)]
pub enum Pattern {
    /// So many callers, each as fast as it gets answers.
    Burst(usize),
    /// As [`Pattern::Burst`] for two seconds, then two seconds of silence, and again.
    OnOff(usize),
    /// As [`Pattern::Burst`] for half a second, and again when all of that is forgotten.
    Apart(usize),
    /// So many calls a minute, evenly.
    Steady(u32),
}

/// A call that was let in, at some time between these two.
#[derive(Clone, Copy, Debug)]
pub struct Admitted {
    sent: Instant,
    answered: Instant,
}

/// What became of a tenant's calls.
#[derive(Debug, Default)]
pub struct Got {
    /// The calls that were let in.
    pub admitted: Vec<Admitted>,
    /// Calls refused by the limit.
    pub limited: usize,
    /// Calls refused because nobody could count.
    pub unavailable: usize,
}

impl Got {
    /// The most calls that were surely let in within one minute, whichever: sent after it began, answered before it
    /// ended.
    pub fn most_in_a_minute(&self) -> usize {
        let within = |began: Instant| {
            let inside = |call: &&Admitted| call.sent >= began && call.answered <= began + WINDOW;
            self.admitted.iter().filter(inside).count()
        };
        self.admitted.iter().map(|call| within(call.sent)).max().unwrap_or(0)
    }

    /// Calls in all.
    pub fn calls(&self) -> usize {
        self.admitted.len() + self.limited + self.unavailable
    }

    /// Counts another's calls in.
    pub fn add(&mut self, other: Self) {
        self.admitted.extend(other.admitted);
        self.limited += other.limited;
        self.unavailable += other.unavailable;
    }
}

/// Makes one call that finds nothing; notes what became of it, and returns why it was refused.
pub async fn call(member: &Member, got: &mut Got) -> anyhow::Result<Option<Fault>> {
    let sent = Instant::now();
    let Err(status) = member.get(&uuid::Uuid::now_v7().to_string()).await else {
        bail!("a lead that never was is there");
    };
    let fault = Fault::from_status(&status);
    match fault.reason() {
        ErrorReason::NotFound => {
            let answered = Instant::now();
            got.admitted.push(Admitted { sent, answered });
            return Ok(None);
        }
        ErrorReason::RateLimited => got.limited += 1,
        ErrorReason::Unavailable => got.unavailable += 1,
        _ => return Err(status).context("a call that a limit decides about"),
    }
    Ok(Some(fault))
}

/// Calls until the first refusal, `most` times at most.
pub async fn until_refused(member: &Member, most: usize, got: &mut Got) -> anyhow::Result<Option<Fault>> {
    for _ in 0..most {
        if let Some(fault) = call(member, got).await? {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

/// Calls through `members`, who are one tenant at several processes, in turn and for so long.
pub async fn hammer(members: Vec<Member>, pattern: Pattern, long: Duration) -> anyhow::Result<Got> {
    let until = Instant::now() + long;
    let mut callers = JoinSet::new();
    match pattern {
        Pattern::Steady(per_minute) => {
            callers.spawn(steady(members, WINDOW / per_minute, until));
        }
        Pattern::Burst(callers_of_one) | Pattern::OnOff(callers_of_one) | Pattern::Apart(callers_of_one) => {
            for caller in 0..callers_of_one {
                let member = members[caller % members.len()].clone();
                callers.spawn(greedy(member, pattern, until));
            }
        }
    }
    let mut all = Got::default();
    while let Some(got) = callers.join_next().await {
        all.add(got??);
    }
    Ok(all)
}

async fn steady(members: Vec<Member>, every: Duration, until: Instant) -> anyhow::Result<Got> {
    let (mut got, mut ticks) = (Got::default(), tokio::time::interval(every));
    for member in members.iter().cycle() {
        ticks.tick().await;
        if Instant::now() >= until {
            break;
        }
        call(member, &mut got).await?;
    }
    Ok(got)
}

/// Whether a tenant that began so long ago is silent now.
fn is_silent(pattern: Pattern, since: Duration) -> bool {
    match pattern {
        Pattern::OnOff(_) => (since.as_secs() / 2) % 2 == 1,
        Pattern::Apart(_) => since > SHORT && since < WINDOW + FORGOTTEN,
        Pattern::Burst(_) | Pattern::Steady(_) => false,
    }
}

async fn greedy(member: Member, pattern: Pattern, until: Instant) -> anyhow::Result<Got> {
    let (mut got, began) = (Got::default(), Instant::now());
    let mut tries = tokio::time::interval(BETWEEN_TRIES);
    tries.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < until {
        if is_silent(pattern, began.elapsed()) || call(&member, &mut got).await?.is_some() {
            tries.tick().await;
        }
    }
    Ok(got)
}
