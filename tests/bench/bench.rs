//! A run: the world, and how long each variant is looked at.
use std::time::Duration;

use onekeel_operator::bench::Options;

use crate::jobs::{ForTenant, Leads, touch};
use crate::load::Measured;
use crate::outcome::{Goal, Outcome};
use crate::pgbench::Script;
use crate::progress;
use crate::variant::{Rounds, Variant};
use crate::world::World;

/// Rounds before the first one that counts: with so many calls of each tenant as the dice fall, but no more than so many, and
/// in the first ones of them a call may fail.
const CALLS_OF_EACH: u64 = 10;
const MOST_ROUNDS_BEFORE: u32 = 5;
const COLD_ROUNDS: u32 = 2;

/// A run.
pub struct Bench {
    /// What is measured.
    pub world: World,
    /// As it was asked for.
    pub options: Options,
}

impl Bench {
    /// Calls at once.
    pub fn callers(&self) -> usize {
        self.options.streams.into()
    }

    /// Length of a round.
    pub fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    /// Rounds of the variants in turn: A B A B … What they need once they make in a round before that does not count.
    pub async fn alternate(&self, what: &'static str, variants: &[&Variant]) -> anyhow::Result<Vec<Rounds>> {
        self.alternate_for(what, self.options.rounds, variants).await
    }

    /// As [`Bench::alternate`], for so many rounds of each.
    pub async fn alternate_for(
        &self,
        what: &'static str,
        rounds: u16,
        variants: &[&Variant],
    ) -> anyhow::Result<Vec<Rounds>> {
        let mut measured: Vec<Rounds> = variants
            .iter()
            .map(|variant| Rounds {
                name: variant.name,
                rounds: Vec::new(),
            })
            .collect();
        let bar = progress::bar(what, u64::from(rounds) * variants.len() as u64);
        for variant in variants {
            self.warm_up(variant).await?;
        }
        for _ in 0..rounds {
            for (rounds, variant) in measured.iter_mut().zip(variants) {
                rounds.rounds.push(variant.round(self.seconds()).await?);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(measured)
    }

    /// Rounds that do not count, until each tenant has called: what a server asks once of each tenant is no part of a call.
    /// Servers that have just started may ask a caller to try again, so it is tried again too.
    async fn warm_up(&self, variant: &Variant) -> anyhow::Result<()> {
        let enough = CALLS_OF_EACH * u64::from(self.world.sizes.active);
        let mut done = 0;
        for round in 0..MOST_ROUNDS_BEFORE {
            match variant.round(self.seconds()).await {
                Ok(measured) => done += measured.units,
                Err(error) if round < COLD_ROUNDS => {
                    progress::say(&format!("  {}, still cold: {error:#}", variant.name));
                }
                Err(error) => return Err(error),
            }
            if done >= enough {
                break;
            }
        }
        Ok(())
    }

    /// Both variants in turn, and the ratio of what they do a second.
    pub async fn compare(
        &self,
        (name, what, goal): (&'static str, &'static str, Goal),
        ours: &Variant,
        control: &Variant,
    ) -> anyhow::Result<(Outcome, Rounds, Rounds)> {
        let mut measured = self.alternate(name, &[ours, control]).await?;
        let (control, ours) = (measured.pop(), measured.pop());
        let (ours, control) = ours.zip(control).expect("two were measured");
        let ratios = ours.ratios(&control, Measured::rate);
        let outcome = Outcome::new(name, what, "×", goal, ratios).with_rounds(&[&ours, &control]);
        Ok((outcome, ours, control))
    }

    /// Callers of the product's lead server.
    pub fn leads(&self, replica: usize) -> anyhow::Result<Leads> {
        Leads::of(&self.world, &self.world.stack.address("lead", replica)?)
    }

    /// Calls once for each tenant.
    pub async fn touch<J: ForTenant>(&self, job: J) -> anyhow::Result<()> {
        touch(job, self.world.sizes, self.callers()).await
    }

    /// A script that runs by the lead server's login.
    pub fn script(&self, name: &str, text: &str) -> anyhow::Result<Script> {
        let url = self.world.stack.database.url_for("lead")?;
        Script::new(&self.world.folder(), name, text, url, self.world.sizes)
    }

    /// Leads that callers created in this run, whoever asks: rows, and not answers.
    pub async fn created_rows(&self) -> anyhow::Result<u64> {
        let count: i64 = sqlx::query_scalar("select count(*) from lead.leads where email like 'new%'")
            .fetch_one(&self.world.behind)
            .await?;
        Ok(u64::try_from(count)?)
    }
}
