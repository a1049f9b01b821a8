//! A way of doing a job, kept alive while the rounds go from one to the next and around again.
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::load::{Job, Measured, drive};
use crate::pgbench::Script;
use crate::processor::Watched;

type Round = Pin<Box<dyn Future<Output = anyhow::Result<Measured>> + Send>>;

/// A way of doing a job.
pub struct Variant {
    /// What the table calls it.
    pub name: &'static str,
    run: Box<dyn Fn(Duration) -> Round + Send + Sync>,
}

impl Variant {
    /// Calls of a server.
    pub fn calls<J: Job>(name: &'static str, job: J, callers: usize, watched: &Watched) -> Self {
        let (job, watched) = (Arc::new(job), watched.clone());
        Self::new(name, move |seconds| {
            let (job, watched) = (job.clone(), watched.clone());
            Box::pin(async move { drive(&job, callers, seconds, &watched).await })
        })
    }

    /// PostgreSQL's own benchmark.
    pub fn pgbench(name: &'static str, script: Script) -> Self {
        let script = Arc::new(script);
        Self::new(name, move |seconds| {
            let script = script.clone();
            Box::pin(async move { script.run(seconds).await })
        })
    }

    /// Whatever `run` does.
    pub fn new(name: &'static str, run: impl Fn(Duration) -> Round + Send + Sync + 'static) -> Self {
        Self {
            name,
            run: Box::new(run),
        }
    }

    /// One round.
    pub async fn round(&self, seconds: Duration) -> anyhow::Result<Measured> {
        (self.run)(seconds).await
    }
}

/// The rounds of one variant.
#[derive(Clone, Debug, Serialize)]
pub struct Rounds {
    /// The variant's name.
    pub name: &'static str,
    /// In the order in which they were measured.
    pub rounds: Vec<Measured>,
}

impl Rounds {
    /// The median of what `read` sees in each round.
    pub fn median(&self, read: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(read).collect())
    }

    /// `read` of each of our rounds to the round of the other one beside it.
    pub fn ratios(&self, other: &Self, read: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds
            .iter()
            .zip(&other.rounds)
            .map(|(ours, theirs)| read(ours) / read(theirs))
            .collect()
    }
}

/// The value in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
