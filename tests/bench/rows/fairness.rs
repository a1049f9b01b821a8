//! What a small tenant feels of one that floods.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::lead::{CreateLeadRequest, GetLeadRequest};
use tonic::Code;

use crate::bench::Bench;
use crate::jobs::{Leads, new_lead};
use crate::load::{Dice, Job, drive};
use crate::outcome::{Goal, Outcome};
use crate::processor::Watched;
use crate::variant::Variant;

const SMALL_CALLERS: usize = 4;
/// Together 500 calls a second.
const SMALL_PACE: Duration = Duration::from_millis(8);
const FLOOD_CALLERS: usize = 16;
/// Together 1,000 calls a second, where 100 are allowed.
const FLOOD_PACE: Duration = Duration::from_millis(16);
/// So many times the rounds of other rows: the 99th percentile of one round is its sixth call from the end.
const TIMES_THE_ROUNDS: u16 = 4;
/// Rounds in which a minute's calls are spent.
const MOST_BEFORE: usize = 100;

/// GetLead of one lead at a steady pace.
struct Steady {
    leads: Leads,
    tenant: u32,
    id: String,
}

impl Job for Steady {
    async fn call(&self, _dice: &mut Dice) -> anyhow::Result<u64> {
        let request = self.leads.request(self.tenant, GetLeadRequest { id: self.id.clone() });
        let lead = self
            .leads
            .client()
            .get_lead(request)
            .await
            .context("GetLead")?
            .into_inner();
        ensure!(lead.id == self.id, "another lead was answered: {lead:?}");
        Ok(1)
    }

    fn pace(&self) -> Option<Duration> {
        Some(SMALL_PACE)
    }
}

/// The same, and most of it is refused.
struct Flood {
    steady: Steady,
    refused: Arc<AtomicU64>,
    let_in: Arc<AtomicU64>,
    pace: Option<Duration>,
}

impl Job for Flood {
    async fn call(&self, _dice: &mut Dice) -> anyhow::Result<u64> {
        let steady = &self.steady;
        let request = steady
            .leads
            .request(steady.tenant, GetLeadRequest { id: steady.id.clone() });
        match steady.leads.client().get_lead(request).await {
            Ok(answer) => {
                ensure!(
                    answer.get_ref().id == steady.id,
                    "another lead was answered: {answer:?}"
                );
                self.let_in.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(other) => return Err(other).context("a call of the flood"),
        }
        Ok(1)
    }

    fn pace(&self) -> Option<Duration> {
        self.pace
    }
}

async fn steady(bench: &Bench, tenant: u32) -> anyhow::Result<Steady> {
    let leads = bench.leads(0)?;
    let wish = CreateLeadRequest {
        lead: Some(new_lead("only@example.com".to_owned())),
        request_id: String::new(),
    };
    let lead = leads
        .client()
        .create_lead(leads.request(tenant, wish))
        .await?
        .into_inner();
    Ok(Steady {
        leads,
        tenant,
        id: lead.id,
    })
}

/// Calls until the minute's calls are spent: from then on, what is above the limit is refused.
async fn spend_the_minute(flood: Flood) -> anyhow::Result<Flood> {
    let flood = Arc::new(flood);
    for _ in 0..MOST_BEFORE {
        drive(&flood, FLOOD_CALLERS, FLOOD_PACE * 10, &Watched::default()).await?;
        if flood.refused.load(Ordering::Relaxed) > 0 {
            let flood = Arc::into_inner(flood).context("every caller has ended")?;
            return Ok(Flood {
                refused: Arc::default(),
                let_in: Arc::default(),
                pace: Some(FLOOD_PACE),
                ..flood
            });
        }
    }
    anyhow::bail!("the flood is never refused")
}

fn alone(small: &Arc<Steady>, watched: &Watched) -> Variant {
    let (small, watched) = (small.clone(), watched.clone());
    Variant::new("small tenant alone", move |seconds| {
        let (small, watched) = (small.clone(), watched.clone());
        Box::pin(async move { drive(&small, SMALL_CALLERS, seconds, &watched).await })
    })
}

fn beside(small: Arc<Steady>, flood: Arc<Flood>, watched: Watched) -> Variant {
    Variant::new("small tenant beside a flood", move |seconds| {
        let (small, flood, watched) = (small.clone(), flood.clone(), watched.clone());
        Box::pin(async move {
            let nobody = Watched::default();
            let flooded = drive(&flood, FLOOD_CALLERS, seconds, &nobody);
            let (measured, flooded) = tokio::join!(drive(&small, SMALL_CALLERS, seconds, &watched), flooded);
            flooded?;
            measured
        })
    })
}

/// The small tenant's 99th percentile with the flood to that without.
pub async fn fairness(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let (flooder, small) = (bench.world.sizes.tenants, bench.world.sizes.tenants + 1);
    let flood = Flood {
        steady: steady(bench, flooder).await?,
        refused: Arc::default(),
        let_in: Arc::default(),
        pace: None,
    };
    let flood = Arc::new(spend_the_minute(flood).await?);
    let (refused, let_in) = (flood.refused.clone(), flood.let_in.clone());
    let small = Arc::new(steady(bench, small).await?);
    let watched = bench.world.watched("lead", 0)?;
    let (alone, beside) = (alone(&small, &watched), beside(small, flood, watched));
    let mut measured = bench
        .alternate_for("fairness", bench.options.rounds * TIMES_THE_ROUNDS, &[&beside, &alone])
        .await?;
    let (alone, beside) = measured.pop().zip(measured.pop()).context("two were measured")?;
    let (refused, let_in) = (refused.load(Ordering::Relaxed), let_in.load(Ordering::Relaxed));
    ensure!(
        refused > let_in,
        "the flood was let in: {let_in} calls, and {refused} refused"
    );
    let ratios = beside.ratios(&alone, |round| round.quantile(0.99));
    let what = "p99 of a small tenant beside one at ten times its limit / alone";
    let ratio = Outcome::new("fairness", what, "×", Goal::AtMost(1.5, 1.1), ratios).with_rounds(&[&beside, &alone]);
    let p99 = alone.rounds.iter().map(|round| round.quantile(0.99)).collect();
    Ok(vec![
        ratio,
        Outcome::new("fairness", "p99 of the small tenant alone", "ms", Goal::None, p99),
    ])
}
