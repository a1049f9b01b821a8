//! Makes room before a refusal: folds what was given back and settles every living lease, in use or not.
//!
//! A limit refuses only when its units are really held by rows; units that sleep in somebody's lease do not count.
use std::sync::Arc;
use std::time::Duration;

use onekeel_api::quota::Resource;
use onekeel_api::{ClientId, Deadline, Fault};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::settle::{fold, settle};

/// A lease younger than this is left to its holder, or two holders could settle each other's last unit for ever.
const YOUNG: Duration = Duration::from_millis(40);
const PAUSE: Duration = Duration::from_millis(4);
/// A change is in force within two seconds, this included.
const LONGEST_SETTLING: Duration = Duration::from_secs(1);
const REMEMBERED: usize = 10_000;

/// What is known of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub plan: String,
    pub cap: i64,
    pub used: i64,
    pub reserved: i64,
    pub releases: bool,
    pub leases: Vec<Uuid>,
    pub young: i64,
}

impl Level {
    /// Whether nothing can become free: no lease lives and nothing waits to be folded.
    pub fn is_settled(&self) -> bool {
        self.reserved == 0 && self.leases.is_empty() && self.young == 0 && !self.releases
    }
}

/// One lane for each tenant and resource: many callers at a full limit share one clean-up.
pub(crate) struct Rooms {
    store: Store,
    lanes: Cache<(ClientId, Resource), Arc<tokio::sync::Mutex<()>>>,
}

impl Rooms {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            lanes: Cache::new(REMEMBERED),
        }
    }

    /// One round of clean-up; returns the level before it. Waits a moment when somebody still holds a lease.
    pub async fn make(&self, tenant: &Tenant, resource: Resource) -> Result<Level, Fault> {
        let key = (tenant.id(), resource);
        let lane = self.lanes.get_or_insert_with(&key, || Ok::<_, Fault>(Arc::default()))?;
        let _turn = lane.lock().await;
        let level = self.level(tenant, resource).await?;
        if level.releases {
            fold(&self.store, tenant, resource.name()).await?;
        }
        for lease in &level.leases {
            settle(&self.store, tenant, *lease).await?;
        }
        if level.young > 0 || !level.leases.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(level)
    }

    /// After a cap was lowered: settles the leases of this resource while more is held than it allows, young ones too
    /// once they are no more. What a transaction still holds after [`LONGEST_SETTLING`] ends with its lease.
    pub async fn settle_above(&self, tenant: &Tenant, resource: Resource) -> Result<(), Fault> {
        let deadline = Deadline::after(LONGEST_SETTLING);
        let mut level = self.level(tenant, resource).await?;
        while level.reserved > 0 && level.used + level.reserved > level.cap && !deadline.remaining().is_zero() {
            level = self.make(tenant, resource).await?;
        }
        Ok(())
    }

    /// One short read without a lock.
    pub async fn level(&self, tenant: &Tenant, resource: Resource) -> Result<Level, Fault> {
        let read = async |tx: &mut TenantTx| {
            let client = tx.client_id();
            let row = sqlx::query!(
                r#"select u.cap, u.used, u.reserved, coalesce(a.plan_id, '') as "plan!",
                    exists(select from quota.releases r where r.client_id = $1 and r.resource = $2) as "releases!",
                    array(select l.id from quota.reservations l where l.client_id = $1 and l.resource = $2
                        and l.created_at <= clock_timestamp() - $3 * interval '1 second'
                        order by l.id limit 1000) as "leases!",
                    (select count(*) from quota.reservations l where l.client_id = $1 and l.resource = $2
                        and l.created_at > clock_timestamp() - $3 * interval '1 second') as "young!"
                from quota.usage u
                left join quota.assignments a on a.client_id = u.client_id and a.state = 'active'
                where u.client_id = $1 and u.resource = $2"#,
                client,
                resource.name(),
                YOUNG.as_secs_f64()
            )
            .fetch_optional(tx.conn())
            .await
            .db()?;
            let row = row.ok_or_else(|| Fault::unavailable("the tenant has no limits yet; try again"))?;
            Ok(Level {
                plan: row.plan,
                cap: row.cap,
                used: row.used,
                reserved: row.reserved,
                releases: row.releases,
                leases: row.leases,
                young: row.young,
            })
        };
        self.store.run(tenant, "read_level", read).await
    }
}
