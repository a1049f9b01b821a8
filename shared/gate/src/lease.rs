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
use crate::due::Due;
use crate::pieces::Wanted;
use crate::row::ChargeRow;
use crate::settle::release;
use crate::units::Slot;
use crate::{Gate, Peers};

/// QuotaService grants a minute where the lease could hide that a threshold is passed.
const LEASE_LIFE_SECONDS: i64 = 600;
/// A lease is spent for one such part of its life.
const SPENT: u32 = 2;
/// One that nobody uses is kept for one such part of it: long enough that a tenant who writes now and then does not lease
/// anew for each row. Nobody waits for it: near a limit, QuotaService ends leases itself.
const IDLE: u32 = 4;
/// For so long at most where less was granted than asked for, and others may want it.
const IDLE_NEAR_A_LIMIT: Duration = Duration::from_secs(5);
const LONGEST_RESERVE: Duration = Duration::from_secs(10);
/// Two limits of as many tenants as are remembered otherwise. Leases beyond are forgotten, and QuotaService's sweeper ends
/// them.
const REMEMBERED_LEASES: usize = 40_000;
/// Tries of one call whose lease is ended under it.
const MOST_FENCES: u32 = 8;

pub(crate) struct Leases {
    pub(crate) peers: Peers,
    pub(crate) slots: Cache<(ClientId, Resource), Arc<Slot>>,
    /// Those whose leases may have to go back.
    pub(crate) due: Arc<Due>,
}

impl Leases {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            slots: Cache::new(REMEMBERED_LEASES),
            due: Arc::default(),
        }
    }

    fn slot(&self, tenant: &Tenant, resource: Resource) -> Result<Arc<Slot>, Fault> {
        let make = || Ok(Arc::new(Slot::new(tenant.clone(), resource)));
        self.slots.get_or_insert_with(&(tenant.id(), resource), make)
    }

    /// What is wanted of each resource, all or none: of the open leases, or of new ones that are asked for in one call.
    async fn take<const N: usize>(
        &self,
        tenant: &Tenant,
        wanted: [(Resource, Wanted); N],
    ) -> Result<Vec<Charge>, Fault> {
        let mut takes = Vec::with_capacity(N);
        for (resource, wanted) in wanted {
            takes.push(Take::new(self.slot(tenant, resource)?, wanted));
        }
        if takes.iter().any(|take| take.charge.is_none()) {
            // Seldom and large: apart, so that the others need not carry it.
            Box::pin(self.complete(&mut takes)).await?;
        }
        Ok(takes.iter_mut().filter_map(|take| take.charge.take()).collect())
    }

    async fn complete(&self, takes: &mut [Take]) -> Result<(), Fault> {
        let mut open: Vec<&mut Take> = takes.iter_mut().filter(|take| take.charge.is_none()).collect();
        // In one order, so that two calls never wait for one another.
        open.sort_by_key(|take| take.slot.resource);
        let mut flights = Vec::with_capacity(open.len());
        for take in &mut open {
            flights.push(take.slot.flight.clone().lock_owned().await);
            take.charge = take.slot.charge(take.wanted);
        }
        open.retain(|take| take.charge.is_none());
        let short: Vec<_> = open.iter().map(|take| (take.slot.clone(), take.wanted)).collect();
        let (peers, due) = (self.peers.clone(), self.due.clone());
        let renewed = async move {
            let _flights = flights;
            let renewed = renew(&peers, &short).await;
            // Also where that failed: a lease that was replaced waits for its last calls.
            for (slot, _) in &short {
                due.watch(slot);
            }
            renewed?;
            // Still alone: nobody else takes the units that this call waited for. Dropped here, they are given up.
            let late = || Fault::unavailable("the quota lease came too late; try again");
            let charges = short.iter().map(|(slot, wanted)| slot.charge(*wanted).ok_or_else(late));
            charges.collect::<Result<Vec<_>, _>>()
        };
        // A dropped call leaves its leases to the next one, and not to the sweeper.
        for (take, charge) in open.into_iter().zip(detached(renewed).await?) {
            take.charge = Some(charge);
        }
        Ok(())
    }
}

/// Units that a call wants of one slot, and has when the open lease has them. They go back when the call fails or goes away
/// before it has all that it wants: nothing is written yet.
struct Take {
    slot: Arc<Slot>,
    wanted: Wanted,
    charge: Option<Charge>,
}

impl Take {
    fn new(slot: Arc<Slot>, wanted: Wanted) -> Self {
        Self {
            charge: slot.charge(wanted),
            slot,
            wanted,
        }
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            charge.refund();
        }
    }
}

/// Puts new leases into the slots of one tenant; gives the old ones back.
async fn renew(peers: &Peers, short: &[(Arc<Slot>, Wanted)]) -> Result<(), Fault> {
    let Some((first, _)) = short.first() else {
        return Ok(());
    };
    let tenant = &first.tenant;
    let mut items = Vec::with_capacity(short.len());
    for (slot, wanted) in short {
        let (old, size) = slot.replace(*wanted);
        if let Some(old) = old {
            tokio::spawn(release(peers.clone(), tenant.clone(), old));
        }
        items.push(ReserveItem {
            resource: slot.resource.into(),
            min: wanted.least(),
            max: size,
        });
    }
    let most: Vec<_> = items.iter().map(|item| item.max).collect();
    let wish = ReserveRequest {
        items,
        ttl: Some(prost_types::Duration {
            seconds: LEASE_LIFE_SECONDS,
            nanos: 0,
        }),
        request_id: Uuid::now_v7().to_string(),
    };
    // A lease's life counts from before the question: by this clock it never ends after QuotaService's.
    let asked = Instant::now();
    let mut answer = ask(peers, tenant, wish.clone()).await;
    // Its answer may have been lost on the way: the same request id finds the leases again.
    if answer
        .as_ref()
        .is_err_and(|fault| fault.reason() == ErrorReason::Unavailable)
    {
        answer = ask(peers, tenant, wish).await;
    }
    let leases = answer?;
    if leases.len() != short.len() {
        return Err(Fault::internal("Reserve answered with another number of leases"));
    }
    for (lease, ((slot, _), wanted)) in leases.into_iter().zip(short.iter().zip(most)) {
        put(slot, &lease, wanted, asked)?;
    }
    Ok(())
}

fn put(slot: &Slot, lease: &Lease, most: i64, asked: Instant) -> Result<(), Fault> {
    let ttl = lease
        .ttl
        .and_then(|ttl| Duration::try_from(ttl).ok())
        .unwrap_or_default();
    metrics::counter!("onekeel_quota_leases_total", "resource" => slot.resource.name()).increment(1);
    let id = LeaseId::parse("id", &lease.id).map_err(Fault::internal)?;
    slot.put(
        id.uuid(),
        lease.amount,
        asked + ttl / SPENT,
        idle(ttl, lease.amount, most),
    );
    Ok(())
}

/// How long a lease of `granted` units is kept idle where `most` were asked for.
fn idle(ttl: Duration, granted: i64, most: i64) -> Duration {
    let idle = ttl / IDLE;
    if granted < most {
        idle.min(IDLE_NEAR_A_LIMIT)
    } else {
        idle
    }
}

async fn ask(peers: &Peers, tenant: &Tenant, wish: ReserveRequest) -> Result<Vec<Lease>, Fault> {
    let request = peers.request(tenant, wish, LONGEST_RESERVE)?;
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
        self.take_one(tenant, resource, Wanted::up_to(most)).await
    }

    /// Takes exactly this many units, in one piece.
    ///
    /// # Errors
    /// As [`Gate::take`].
    pub async fn take_exactly(&self, tenant: &Tenant, resource: Resource, units: i64) -> Result<Charge, Fault> {
        self.take_one(tenant, resource, Wanted::exactly(units)).await
    }

    async fn take_one(&self, tenant: &Tenant, resource: Resource, wanted: Wanted) -> Result<Charge, Fault> {
        let mut charges = self.leases.take(tenant, [(resource, wanted)]).await?;
        charges.pop().ok_or_else(|| Fault::internal("no units were taken"))
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
            let exactly = wanted.map(|(resource, units)| (resource, Wanted::exactly(units)));
            let charges = self.leases.take(tenant, exactly).await?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_want_goes_back_sooner() {
        let minute = Duration::from_secs(60);
        assert_eq!(idle(minute, 64, 64), minute / 4);
        assert_eq!(idle(minute, 63, 64), IDLE_NEAR_A_LIMIT);
        assert_eq!(idle(minute / 60, 63, 64), minute / 240, "never longer than others");
    }
}
