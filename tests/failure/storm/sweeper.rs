//! A hostile sweeper: ends living leases, those in use before all others.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onekeel_api::ClientId;
use onekeel_tests::Voice;
use rand::RngExt;
use rand::rngs::StdRng;
use sqlx::PgPool;
use uuid::Uuid;

const LONGEST_RELEASE: Duration = Duration::from_secs(2);

pub struct Sweeper {
    /// Where leases are looked for.
    pub behind: PgPool,
    /// One for each process of QuotaService.
    pub voices: Vec<Voice>,
    pub rng: StdRng,
    pub pace: Duration,
}

/// What it has done.
#[derive(Debug, Default)]
pub struct Swept {
    pub ended: usize,
    /// Leases that rows had charged when they were ended.
    pub in_use: usize,
}

impl Sweeper {
    pub async fn run(mut self, enough: Arc<AtomicBool>) -> anyhow::Result<Swept> {
        let mut swept = Swept::default();
        let mut round = tokio::time::interval(self.pace);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !enough.load(Ordering::Acquire) {
            round.tick().await;
            let leases: Vec<(Uuid, Uuid)> = sqlx::query_as(
                "select client_id, id from quota.reservations r order by exists(select from quota.charges c
                    where c.client_id = r.client_id and c.reservation_id = r.id) desc, id limit 20",
            )
            .fetch_all(&self.behind)
            .await?;
            let voice = &self.voices[self.rng.random_range(0..self.voices.len())];
            let dice = self.rng.random_range(0..usize::MAX);
            let Some((client, lease)) = leases.get(dice.checked_rem(leases.len()).unwrap_or_default()) else {
                continue;
            };
            let client = ClientId::parse("client_id", &client.to_string())?;
            let released = tokio::time::timeout(LONGEST_RELEASE, voice.release(client, *lease)).await;
            // QuotaService may just have been killed; the next lease comes soon.
            if let Ok(Ok(charged)) = released {
                swept.ended += 1;
                swept.in_use += usize::from(charged > 0);
            }
        }
        Ok(swept)
    }
}
