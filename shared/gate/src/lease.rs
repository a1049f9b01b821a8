//! Open leases, one for each tenant and resource: taken from QuotaService by tens, spent here one by one.
use std::sync::Arc;
use std::time::{Duration, Instant};

use onekeel_api::quota::{Lease, ReserveItem, ReserveRequest, Resource};
use onekeel_api::{ClientId, ErrorReason, Fault, LeaseId};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::charge::Charge;
use crate::detached::detached;
use crate::settle::release;
use crate::units::{ChargeRow, Slot, Wanted};
use crate::{Gate, Peers};

const LEASE_LIFE_SECONDS: i64 = 30;
const LONGEST_RESERVE: Duration = Duration::from_secs(10);
/// Leases beyond this many are forgotten, and QuotaService's sweeper ends them.
const REMEMBERED_LEASES: usize = 10_000;
/// Tries of one call whose lease is ended under it.
const MOST_FENCES: u32 = 8;

pub(crate) struct Leases {
    pub(crate) peers: Peers,
    pub(crate) slots: Cache<(ClientId, Resource), Arc<Slot>>,
}

impl Leases {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            slots: Cache::new(REMEMBERED_LEASES),
        }
    }

    async fn take(&self, tenant: &Tenant, resource: Resource, wanted: Wanted) -> Result<Charge, Fault> {
        let key = (tenant.id(), resource);
        let made = self
            .slots
            .get_or_insert_with(&key, || Ok::<_, Fault>(Arc::new(Slot::new(tenant.clone(), resource))));
        let slot = made?;
        let charge = |row| Charge::new(row, slot.clone());
        if let Some(row) = slot.take(wanted) {
            return Ok(charge(row));
        }
        let flight = slot.flight.clone().lock_owned().await;
        if let Some(row) = slot.take(wanted) {
            return Ok(charge(row));
        }
        let (peers, own) = (self.peers.clone(), slot.clone());
        let renewed = async move {
            let _flight = flight;
            renew(&peers, &own, wanted).await?;
            // Still alone: nobody else takes the units that this call waited for. Dropped here, they are given up.
            let row = own.take(wanted);
            let row = row.ok_or_else(|| Fault::unavailable("the quota lease came too late; try again"))?;
            Ok(Charge::new(row, own))
        };
        // A dropped call leaves its lease to the next one, and not to the sweeper.
        detached(renewed).await
    }
}

/// Puts a new lease into the slot; gives the old one back.
async fn renew(peers: &Peers, slot: &Slot, wanted: Wanted) -> Result<(), Fault> {
    let (old, size) = slot.replace(wanted);
    if let Some(old) = old {
        tokio::spawn(release(peers.clone(), slot.tenant.clone(), old));
    }
    let item = ReserveItem {
        resource: slot.resource.into(),
        min: wanted.least(),
        max: size,
    };
    let wish = ReserveRequest {
        items: vec![item],
        ttl: Some(prost_types::Duration {
            seconds: LEASE_LIFE_SECONDS,
            nanos: 0,
        }),
        request_id: Uuid::now_v7().to_string(),
    };
    // The lease's life counts from before the question: by this clock it never ends after QuotaService's.
    let asked = Instant::now();
    let mut answer = ask(peers, slot, wish.clone()).await;
    // Its answer may have been lost on the way: the same request id finds the lease again.
    if answer
        .as_ref()
        .is_err_and(|fault| fault.reason() == ErrorReason::Unavailable)
    {
        answer = ask(peers, slot, wish).await;
    }
    let lease = answer?.into_iter().next();
    let lease = lease.ok_or_else(|| Fault::internal("Reserve answered without a lease"))?;
    let ttl = lease
        .ttl
        .and_then(|ttl| Duration::try_from(ttl).ok())
        .unwrap_or_default();
    metrics::counter!("onekeel_quota_leases_total", "resource" => slot.resource.name()).increment(1);
    let id = LeaseId::parse("id", &lease.id).map_err(Fault::internal)?;
    slot.put(id.uuid(), lease.amount, asked + ttl / 2);
    Ok(())
}

async fn ask(peers: &Peers, slot: &Slot, wish: ReserveRequest) -> Result<Vec<Lease>, Fault> {
    let request = peers.request(&slot.tenant, wish, LONGEST_RESERVE)?;
    let answer = peers.quota().reserve(request).await;
    Ok(answer
        .map_err(|status| Fault::from_status(&status))?
        .into_inner()
        .leases)
}

impl Gate {
    /// Takes up to `most` units (at least one) of the tenant's open lease, or of a new one.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED` when the plan's limit is reached; `UNAVAILABLE` when QuotaService cannot be asked: what may
    /// grow beyond a limit is refused, never guessed.
    pub async fn take(&self, tenant: &Tenant, resource: Resource, most: i64) -> Result<Charge, Fault> {
        self.leases.take(tenant, resource, Wanted::up_to(most)).await
    }

    /// Takes exactly this many units, in one piece.
    ///
    /// # Errors
    /// As [`Gate::take`].
    pub async fn take_exactly(&self, tenant: &Tenant, resource: Resource, units: i64) -> Result<Charge, Fault> {
        self.leases.take(tenant, resource, Wanted::exactly(units)).await
    }

    /// Runs `work` with exactly these units: spent when it succeeds, given back when it fails before its commit, and
    /// tried again with new leases when an old one was settled under it. `work` writes the charges in its own
    /// transaction.
    pub async fn charged<T, W, const N: usize>(
        &self,
        tenant: &Tenant,
        wanted: [(Resource, i64); N],
        work: W,
    ) -> Result<T, Fault>
    where
        W: AsyncFnOnce([ChargeRow; N]) -> Result<T, Fault> + Clone,
    {
        let mut fences = 0;
        loop {
            let charges = self.take_all(tenant, wanted).await?;
            let rows = std::array::from_fn(|place| charges[place].row());
            let fault = match work.clone()(rows).await {
                Ok(value) => {
                    charges.into_iter().for_each(Charge::spent);
                    return Ok(value);
                }
                Err(fault) => fault,
            };
            for (place, charge) in charges.into_iter().enumerate() {
                charge.failed_as(place, fences, &fault);
            }
            fences += 1;
            if !fault.is_fenced() || fences == MOST_FENCES {
                return Err(fault);
            }
        }
    }

    /// All of the units or none.
    async fn take_all<const N: usize>(
        &self,
        tenant: &Tenant,
        wanted: [(Resource, i64); N],
    ) -> Result<Vec<Charge>, Fault> {
        let mut charges = Vec::with_capacity(N);
        for (resource, units) in wanted {
            match self.take_exactly(tenant, resource, units).await {
                Ok(charge) => charges.push(charge),
                Err(fault) => {
                    charges.into_iter().for_each(Charge::refund);
                    return Err(fault);
                }
            }
        }
        Ok(charges)
    }
}
