//! Kills one part after the other, in no order, and starts it again.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use onekeel_tests::World;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Longest time without Redis.
const WITHOUT_REDIS: u64 = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    LeadService,
    QuotaService,
    DatabaseSession,
    Redis,
}

pub const KINDS: [Kind; 4] = [
    Kind::LeadService,
    Kind::QuotaService,
    Kind::DatabaseSession,
    Kind::Redis,
];

pub struct Killer {
    rng: StdRng,
    /// What comes next; filled again when it is empty, so that every kind has its turn.
    bag: Vec<Kind>,
    pub kills: BTreeMap<Kind, usize>,
}

impl Killer {
    pub fn new(rng: StdRng) -> Self {
        Self {
            rng,
            bag: Vec::new(),
            kills: BTreeMap::new(),
        }
    }

    /// One kill; returns when what was killed serves again.
    pub async fn kill(&mut self, world: &mut World) -> anyhow::Result<()> {
        if self.bag.is_empty() {
            self.bag.extend(KINDS);
            self.bag.extend([Kind::DatabaseSession; 2]);
            self.bag.shuffle(&mut self.rng);
        }
        let kind = self.bag.pop().context("the bag was filled")?;
        let (replica, most) = (self.rng.random_range(0..2), self.rng.random_range(1..=6));
        let pause = Duration::from_millis(self.rng.random_range(0..WITHOUT_REDIS));
        let killed = match kind {
            Kind::LeadService => {
                world.stack.server("lead", replica)?.kill_and_restart().await?;
                1
            }
            Kind::QuotaService => {
                world.stack.server("quota", replica)?.kill_and_restart().await?;
                1
            }
            Kind::DatabaseSession => terminate(world, most).await?,
            Kind::Redis => {
                let redis = world.backing.redis().context("a private Redis")?;
                redis.kill().await?;
                tokio::time::sleep(pause).await;
                redis.restart().await?;
                1
            }
        };
        *self.kills.entry(kind).or_default() += killed;
        Ok(())
    }
}

/// Ends sessions of LeadService and QuotaService, those in the middle of something first.
async fn terminate(world: &World, most: i64) -> anyhow::Result<usize> {
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from (
            select pid from pg_stat_activity
            where usename in ('onekeel_lead', 'onekeel_quota') and datname = current_database()
            order by state = 'idle', pid limit $1
        ) as busy",
    )
    .bind(most)
    .fetch_all(&world.behind)
    .await?;
    Ok(ended.len())
}
