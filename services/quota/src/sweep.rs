//! The sweeper: ends leases whose holders did not, and folds what was given back.
//!
//! Nothing but tidiness depends on it: a limit that runs short makes its own room. It visits the tenants that reserved
//! here of late once a minute, and walks through all others a few at a time.
use std::sync::Arc;
use std::time::{Duration, Instant};

use onekeel_api::{ClientId, Fault};
use onekeel_server::Round;
use onekeel_store::{DbResult, Directory, Store, TenantTx};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::settle::{fold, settle};

const ROUND: Duration = Duration::from_secs(1);
const TENANTS_A_ROUND: i32 = 64;
const REMEMBERED: usize = 20_000;
/// As long as a lease of the gate lives, and one visit after that.
const HOT: Duration = Duration::from_secs(120);
/// From one visit of such a tenant to the next. Leases end by their holders as a rule, and each visit costs.
const VISIT: Duration = Duration::from_secs(60);

/// Tenants that reserved in this process of late.
#[derive(Clone)]
pub(crate) struct HotTenants(Arc<Cache<ClientId, Hot>>);

#[derive(Clone)]
struct Hot {
    tenant: Tenant,
    reserved: Instant,
    visit: Instant,
}

impl HotTenants {
    pub fn new() -> Self {
        Self(Arc::new(Cache::new(REMEMBERED)))
    }

    pub fn note(&self, tenant: &Tenant) {
        let now = Instant::now();
        let hot = Hot {
            tenant: tenant.clone(),
            reserved: now,
            // The first visit comes as long after the first lease, so that visits are spread as tenants came.
            visit: self.0.get(&tenant.id()).map_or(now + VISIT, |hot| hot.visit),
        };
        self.0.insert(tenant.id(), hot);
    }

    /// Those whose visit is due, and their next one is put off.
    fn take_due(&self) -> Vec<Tenant> {
        let now = Instant::now();
        self.0.retain(|_, hot| hot.reserved.elapsed() < HOT);
        let due: Vec<Hot> = self
            .0
            .iter()
            .map(|(_, hot)| hot)
            .filter(|hot| hot.visit <= now)
            .collect();
        for hot in &due {
            let next = Hot {
                visit: now + VISIT,
                ..hot.clone()
            };
            self.0.insert(hot.tenant.id(), next);
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
            for tenant in self.hot.take_due() {
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
