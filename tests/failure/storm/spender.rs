//! A writer who cheats: spends units of others' living leases twice, beyond their end, and of leases made larger.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use onekeel_api::ClientId;
use rand::RngExt;
use rand::rngs::StdRng;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::told::Told;
use crate::holder::{Units, Written, write_row};

const PACE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cheat {
    /// A unit that a row has charged already.
    Twice,
    /// A unit that the lease does not have.
    Beyond,
    /// A unit of the lease as it would be with more units.
    Larger,
    /// A unit that is the lease's, but not ours: the row counts, and its holder finds the unit spent.
    Stolen,
}

pub struct Spender {
    /// Where leases are looked for.
    pub behind: PgPool,
    /// The login of LeadService.
    pub login: String,
    pub rng: StdRng,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Spent {
    pub refused: BTreeMap<String, usize>,
    /// Rows with a unit of somebody else's lease; they are there, and counted.
    pub told: Told,
    pub broken: usize,
}

impl Spender {
    pub async fn run(mut self, enough: Arc<AtomicBool>) -> anyhow::Result<Spent> {
        let mut spent = Spent::default();
        let mut round = tokio::time::interval(PACE);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut login: Option<PgConnection> = None;
        while !enough.load(Ordering::Acquire) {
            round.tick().await;
            let cheats = [Cheat::Twice, Cheat::Twice, Cheat::Beyond, Cheat::Larger, Cheat::Stolen];
            let (cheat, dice) = (cheats[self.rng.random_range(0..cheats.len())], self.rng.random());
            let Some((client, units)) = self.victim(cheat, dice).await? else {
                continue;
            };
            let mut own = match login.take() {
                Some(own) => own,
                None => match PgConnection::connect(&self.login).await {
                    Ok(own) => own,
                    Err(_) => continue,
                },
            };
            match write_row(&mut own, client, units).await {
                Ok(Written::Row(id)) => {
                    ensure!(cheat == Cheat::Stolen, "{cheat:?} was admitted: {units:?} of {client}");
                    spent.told.created(id);
                }
                Ok(Written::Refused(constraint)) => *spent.refused.entry(constraint).or_default() += 1,
                // Sessions of this login are ended all the time.
                Err(_) => {
                    spent.broken += 1;
                    continue;
                }
            }
            login = Some(own);
        }
        Ok(spent)
    }

    /// Units of a living lease that rows have charged.
    async fn victim(&mut self, cheat: Cheat, dice: u32) -> anyhow::Result<Option<(ClientId, Units)>> {
        let charged: Vec<(Uuid, Uuid, i64, i64)> = sqlx::query_as(
            "select client_id, reservation_id, first_unit, of from quota.charges where resource = 'leads'
            order by reservation_id desc, first_unit limit 50",
        )
        .fetch_all(&self.behind)
        .await?;
        let place = usize::try_from(dice)?.checked_rem(charged.len());
        let Some((client, lease, first, of)) = place.map(|place| charged[place]) else {
            return Ok(None);
        };
        let (first, of) = match cheat {
            Cheat::Twice => (first, of),
            Cheat::Beyond => (of, of),
            Cheat::Larger => (of, of + 1),
            Cheat::Stolen => (of - 1, of),
        };
        let units = Units {
            lease,
            first,
            count: 1,
            of,
        };
        Ok(Some((ClientId::parse("client_id", &client.to_string())?, units)))
    }
}
