//! The sweeper: ends leases whose holders did not, and folds what was given back.
//!
//! A limit that runs short makes its own room; what depends on it are thresholds that leases of a dead server hide. It visits
//! the tenants that reserved here when their leases end, and walks through all others a few at a time.
use std::sync::Arc;
use std::time::{Duration, Instant};

use onekeel_api::{ClientId, Fault};
use onekeel_server::Round;
use onekeel_store::{DbResult, Directory, Store, TenantTx};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::grant::BRIEF;
use crate::settle::{fold, settle};

const ROUND: Duration = Duration::from_secs(1);
const TENANTS_A_ROUND: i32 = 64;
const REMEMBERED: usize = 20_000;
/// Of visits to one tenant.
const PAUSE: Duration = Duration::from_secs(60);

/// Tenants with leases that were granted in this process.
#[derive(Clone)]
pub(crate) struct HotTenants(Arc<Cache<ClientId, Hot>>);

#[derive(Clone)]
struct Hot {
    tenant: Tenant,
    /// When its last leases end, the brief ones and all.
    ends: [Instant; 2],
    visit: Instant,
}

impl HotTenants {
    pub fn new() -> Self {
        Self(Arc::new(Cache::new(REMEMBERED)))
    }

    /// The tenant has another lease that lives for so long.
    pub fn note(&self, tenant: &Tenant, life: Duration) {
        let now = Instant::now();
        let end = now + life.max(PAUSE);
        let known = self.0.get(&tenant.id());
        let [brief, last] = known.as_ref().map_or([now; 2], |hot| hot.ends);
        let hot = Hot {
            tenant: tenant.clone(),
            ends: [if life > BRIEF { brief } else { end }, last.max(end)],
            visit: known.map_or(end, |hot| hot.visit.min(end)),
        };
        self.0.insert(tenant.id(), hot);
    }

    /// Those whose visit is due; each is put off until more leases have ended, or forgotten when none is left.
    fn take_due(&self, now: Instant) -> Vec<Tenant> {
        let due = self.0.iter().map(|(_, hot)| hot).filter(|hot| hot.visit <= now);
        let due: Vec<Hot> = due.collect();
        for hot in &due {
            match hot.ends.into_iter().find(|end| *end > now) {
                Some(end) => self.0.insert(
                    hot.tenant.id(),
                    Hot {
                        visit: end,
                        ..hot.clone()
                    },
                ),
                None => drop(self.0.remove(&hot.tenant.id())),
            }
        }
        due.into_iter().map(|hot| hot.tenant).collect()
    }
}

/// Runs for as long as the server.
#[derive(Clone)]
pub(crate) struct Sweeper {
    store: Store,
    hot: HotTenants,
}

struct Found {
    leases: Vec<Uuid>,
    resources: Vec<String>,
}

impl Sweeper {
    pub fn new(store: Store, hot: HotTenants) -> Self {
        Self { store, hot }
    }

    /// Sweeps round after round; a round that fails is counted, logged and followed by the next.
    pub async fn run(self) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut after = None;
        loop {
            round.tick().await;
            let began = Round::begin("quota.sweep");
            let mut well = true;
            for tenant in self.hot.take_due(Instant::now()) {
                well &= self.sweep_or_report(&tenant).await;
            }
            match self
                .store
                .walk(Directory::Limits { after }, TENANTS_A_ROUND, "sweep")
                .await
            {
                Ok(tenants) => {
                    after = tenants.last().map(Tenant::id);
                    for tenant in tenants {
                        well &= self.sweep_or_report(&tenant).await;
                    }
                }
                Err(fault) => well = report(&fault),
            }
            began.end(well);
        }
    }

    /// Whether it went well.
    async fn sweep_or_report(&self, tenant: &Tenant) -> bool {
        self.sweep(tenant).await.map_or_else(|fault| report(&fault), |()| true)
    }

    async fn sweep(&self, tenant: &Tenant) -> Result<(), Fault> {
        let found = self.store.run(tenant, "find_sweepable", find).await?;
        for lease in found.leases {
            settle(&self.store, tenant, lease).await?;
            metrics::counter!("onekeel_quota_swept_leases_total").increment(1);
        }
        for resource in found.resources {
            fold(&self.store, tenant, &resource).await?;
        }
        Ok(())
    }
}

async fn find(tx: &mut TenantTx) -> Result<Found, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        Found,
        r#"select
            array(select id from quota.reservations where client_id = $1 and expires_at < clock_timestamp()
                order by id limit 1000) as "leases!",
            array(select distinct resource from quota.releases where client_id = $1) as "resources!""#,
        client
    )
    .fetch_one(tx.conn())
    .await
    .db()
}

fn report(fault: &Fault) -> bool {
    metrics::counter!("onekeel_quota_sweep_failures_total").increment(1);
    tracing::warn!(%fault, "a tenant could not be swept");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_visited_when_its_leases_end_and_not_before() {
        #[expect(clippy::disallowed_methods, reason = "the sweeper works below the verifier")]
        let tenant = Tenant::for_background(ClientId::new_v7(), "test");
        let (hot, began) = (HotTenants::new(), Instant::now());
        let due = |seconds| hot.take_due(began + Duration::from_secs(seconds)).len();
        let long = 10 * BRIEF;
        hot.note(&tenant, long);
        assert_eq!([due(60), due(599)], [0, 0], "a long lease lives");
        hot.note(&tenant, BRIEF);
        hot.note(&tenant, Duration::from_secs(1));
        assert_eq!([due(59), due(61), due(62)], [0, 1, 0], "a brief one has ended, once");
        assert_eq!([due(599), due(601)], [0, 1], "and the long one");
        assert_eq!(due(10_000), 0, "none is left");
    }
}
