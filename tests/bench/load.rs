//! Callers: so many at once, each calling again as soon as it is answered, and every answer looked at.
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::processor::{Spent, Watched};

/// Share of a round that passes before it counts.
const LEAD_IN: f64 = 0.2;
/// After the end of a round, nobody waits longer for an answer.
const LONGEST_END: Duration = Duration::from_secs(60);

/// A caller with a pace begins at one of so many moments of it.
const PARTS: u32 = 1_000;

/// Callers that there have been, in all rounds.
static CALLERS: AtomicU64 = AtomicU64::new(0);

const STARTING: u8 = 0;
const COUNTING: u8 = 1;
const ENDING: u8 = 2;

/// What callers do.
pub trait Job: Send + Sync + 'static {
    /// One call, whose answer is checked; returns how many units it did, one or its rows.
    fn call(&self, dice: &mut Dice) -> impl Future<Output = anyhow::Result<u64>> + Send;

    /// Time between two calls of one caller; none when it calls at once again.
    fn pace(&self) -> Option<Duration> {
        None
    }
}

/// The step of SplitMix64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Numbers that look random and cost nothing.
pub struct Dice(u64);

impl Dice {
    /// Numbers of their own for each `seed`, also for neighbouring ones: those begin far from one another.
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed.wrapping_mul(STEP)))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(STEP);
        let below = mixed(self.0) % u64::from(end.max(1));
        u32::try_from(below).expect("it is below a u32")
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What one round came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// Units that were done.
    pub units: u64,
    /// In which time.
    pub seconds: f64,
    /// Processor time in it.
    pub spent: Spent,
    /// Microseconds of each call, ascending; none where nobody measured single calls.
    #[serde(skip)]
    pub latencies: Vec<u32>,
}

impl Measured {
    /// Units a second.
    pub fn rate(&self) -> f64 {
        self.units as f64 / self.seconds
    }

    /// Microseconds of the server's processor time for each unit.
    pub fn server_micros(&self) -> f64 {
        self.spent.server * 1e6 / self.units.max(1) as f64
    }

    /// Microseconds of everybody's processor time for each unit, but not the caller's.
    pub fn all_micros(&self) -> f64 {
        let spent = &self.spent;
        (spent.server + spent.peers + spent.postgres + spent.redis) * 1e6 / self.units.max(1) as f64
    }

    /// Milliseconds within which this share of the calls was answered.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the length is a place in it"
        )]
        let place = (last as f64 * share).round() as usize;
        self.latencies.get(place).map_or(0.0, |micros| f64::from(*micros) / 1e3)
    }
}

/// Lets `callers` do `job` for about `seconds`, and counts what ends within them. Any wrong answer fails the round.
pub async fn drive<J: Job>(
    job: &Arc<J>,
    callers: usize,
    seconds: Duration,
    watched: &Watched,
) -> anyhow::Result<Measured> {
    let stage = Arc::new(AtomicU8::new(STARTING));
    let mut running = JoinSet::new();
    for _ in 0..callers {
        running.spawn(call_again(job.clone(), stage.clone()));
    }
    tokio::time::sleep(seconds.mul_f64(LEAD_IN)).await;
    let (before, began) = (watched.spent()?, Instant::now());
    stage.store(COUNTING, Ordering::Relaxed);
    tokio::time::sleep(seconds).await;
    stage.store(ENDING, Ordering::Relaxed);
    let mut measured = Measured {
        seconds: began.elapsed().as_secs_f64(),
        spent: watched.spent()? - before,
        ..Measured::default()
    };
    let collected = async {
        while let Some(ended) = running.join_next().await {
            let (units, latencies) = ended??;
            measured.units += units;
            measured.latencies.extend(latencies);
        }
        anyhow::Ok(())
    };
    let collected = tokio::time::timeout(LONGEST_END, collected).await;
    collected.context("calls do not end")??;
    measured.latencies.sort_unstable();
    Ok(measured)
}

/// Callers that began together would call together for ever, and wait for one another.
fn from_any_moment(pace: Duration, dice: &mut Dice) -> tokio::time::Interval {
    let begins = pace * dice.below(PARTS) / PARTS;
    tokio::time::interval_at(tokio::time::Instant::now() + begins, pace)
}

async fn call_again<J: Job>(job: Arc<J>, stage: Arc<AtomicU8>) -> anyhow::Result<(u64, Vec<u32>)> {
    // Other numbers in each round: what one round has asked for, caches know in the next.
    let mut dice = Dice::new(CALLERS.fetch_add(1, Ordering::Relaxed) ^ u64::from(std::process::id()));
    let (mut units, mut latencies) = (0, Vec::new());
    let mut pace = job.pace().map(|pace| from_any_moment(pace, &mut dice));
    while stage.load(Ordering::Relaxed) != ENDING {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let began = Instant::now();
        let done = job.call(&mut dice).await?;
        if stage.load(Ordering::Relaxed) == COUNTING {
            units += done;
            latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok((units, latencies))
}
