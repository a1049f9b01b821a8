//! When keys were last used: noted in memory by each exchange, and written down every few seconds, together.
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use onekeel_api::{ClientId, Fault};
use onekeel_server::Round;
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use super::repo;

/// Name of this work in metrics.
pub(crate) const TASK: &str = "tenant.note_api_key_uses";

const ROUND: Duration = Duration::from_secs(5);
/// A key that was used is written down once in this time.
const PRECISION: TimeDelta = TimeDelta::minutes(1);
/// Keys whose use waits to be written.
const MOST_WAITING: usize = 10_000;

type Noted = HashMap<(ClientId, Uuid), (Tenant, DateTime<Utc>)>;

/// Uses that are not written down yet.
#[derive(Default)]
pub(crate) struct Uses(Mutex<Noted>);

impl Uses {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `holder` has used its key now, unless that is known to the minute.
    pub fn note(&self, holder: &Tenant, last: Option<DateTime<Utc>>) {
        let now = Utc::now();
        if last.is_none_or(|last| last < now - PRECISION) {
            self.put(holder.clone(), now);
        }
    }

    fn put(&self, holder: Tenant, at: DateTime<Utc>) {
        let Some(key) = holder.api_key() else {
            return;
        };
        let mut noted = self.noted();
        let place = (holder.id(), key.key);
        if noted.len() >= MOST_WAITING && !noted.contains_key(&place) {
            metrics::counter!("onekeel_api_key_uses_lost_total").increment(1);
            return;
        }
        // What is put back after a failure may be older than what came meanwhile.
        let kept = noted.entry(place).or_insert((holder, at));
        kept.1 = kept.1.max(at);
    }

    /// Writes them down for as long as the server runs. What cannot be written waits for the next round.
    pub async fn write_down(self: Arc<Self>, store: Store) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            let began = Round::begin(TASK);
            began.end(self.write(&store).await);
        }
    }

    /// Whether all could be written.
    async fn write(&self, store: &Store) -> bool {
        let (taken, mut well) = (std::mem::take(&mut *self.noted()), true);
        for (_, uses) in by_tenant(taken) {
            if let Err(fault) = write_those_of(store, &uses).await {
                well = false;
                tracing::warn!(task = TASK, %fault, "when keys were used is not written down yet");
                for (holder, at) in uses {
                    self.put(holder, at);
                }
            }
        }
        well
    }
}

fn by_tenant(noted: Noted) -> BTreeMap<ClientId, Vec<(Tenant, DateTime<Utc>)>> {
    let mut tenants: BTreeMap<ClientId, Vec<_>> = BTreeMap::new();
    for ((client, _), used) in noted {
        tenants.entry(client).or_default().push(used);
    }
    tenants
}

/// Writes what was used in one tenant.
async fn write_those_of(store: &Store, uses: &[(Tenant, DateTime<Utc>)]) -> Result<(), Fault> {
    let Some((tenant, _)) = uses.first() else {
        return Ok(());
    };
    let keyed = uses
        .iter()
        .filter_map(|(holder, at)| Some((holder.api_key()?.key, *at)));
    let (keys, times): (Vec<_>, Vec<_>) = keyed.unzip();
    let note = async |tx: &mut TenantTx| repo::note_uses(tx, &keys, &times).await;
    store.run(tenant, "note_api_key_uses", note).await
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "nobody's key is looked up")]
mod tests {
    use onekeel_tenancy::ApiKeyId;

    use super::*;

    fn holder(client: ClientId) -> Tenant {
        let (key, secret) = (Uuid::now_v7(), Uuid::now_v7());
        Tenant::for_shown_key(client, ApiKeyId { key, secret })
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let (uses, one) = (Uses::default(), holder(ClientId::new_v7()));
        uses.note(&one, Some(Utc::now() - TimeDelta::seconds(50)));
        assert!(uses.noted().is_empty());
        uses.note(&one, Some(Utc::now() - TimeDelta::seconds(70)));
        uses.note(&one, None);
        assert_eq!(uses.noted().len(), 1);
    }

    #[test]
    fn what_waits_is_bounded_and_the_latest_counts() {
        let (uses, client) = (Uses::default(), ClientId::new_v7());
        let (one, now) = (holder(client), Utc::now());
        uses.put(one.clone(), now);
        uses.put(one.clone(), now - TimeDelta::seconds(9));
        for _ in 0..MOST_WAITING {
            uses.put(holder(client), now);
        }
        assert_eq!(uses.noted().len(), MOST_WAITING);
        uses.put(one.clone(), now + TimeDelta::seconds(1));
        let taken = by_tenant(std::mem::take(&mut *uses.noted()));
        assert_eq!(taken[&client].len(), MOST_WAITING);
        let kept = taken[&client]
            .iter()
            .find(|(holder, _)| holder.api_key() == one.api_key());
        assert_eq!(kept.expect("the first one").1, now + TimeDelta::seconds(1));
    }
}
