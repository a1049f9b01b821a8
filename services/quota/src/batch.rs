//! Reserve calls of one tenant that wait at the same time share one transaction: one lock, one commit for all of them.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onekeel_api::{Carried, ClientId, Deadline, ErrorReason, Fault};
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::Tenant;
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use crate::ample::grant_amply;
use crate::grant::{Tried, find, grant, used_before};
use crate::lease::Reservation;
use crate::settle::settle;
use crate::wish::Wish;

const MOST_TOGETHER: usize = 64;
/// Calls of one tenant that may wait; a server takes a few more than that at once by default.
const MOST_WAITING: usize = 1000;
const LONGEST_BATCH: Duration = Duration::from_secs(5);

/// The tenants' queues. A queue is there while its tenant's wishes are served, by one task at a time.
#[derive(Clone)]
pub(crate) struct Batches {
    store: Store,
    queues: Arc<Mutex<HashMap<ClientId, VecDeque<Waiting>>>>,
}

/// A wish, and where its answer goes. The first of a batch gives it its place in a trace and in the tenant's usage.
struct Waiting {
    wish: Arc<Wish>,
    answer: oneshot::Sender<Result<Tried, Fault>>,
    carried: Carried,
    span: Span,
}

impl Batches {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            queues: Arc::default(),
        }
    }

    /// One try at the wish, together with the others of its tenant. Cancel-safe: what a dropped call was granted is
    /// given back.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many wait or the transaction failed; the wish may have been granted in the latter case,
    /// and its request id finds what it got.
    pub async fn ask(&self, tenant: &Tenant, wish: &Arc<Wish>) -> Result<Tried, Fault> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            wish: wish.clone(),
            answer,
            carried: Carried::current(),
            span: Span::current(),
        };
        if self.line_up(tenant.id(), waiting)? {
            let turn = Turn {
                batches: self.clone(),
                tenant: tenant.clone(),
                ample: true,
                over: false,
            };
            tokio::spawn(turn.serve());
        }
        let answered = tokio::time::timeout(Deadline::remaining_or(LONGEST_BATCH), answered).await;
        let answered = answered.map_err(|_| Fault::deadline_exceeded())?;
        answered.unwrap_or_else(|_| Err(Fault::unavailable("the wish was not answered; try again")))
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<ClientId, VecDeque<Waiting>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody serves this tenant yet.
    fn line_up(&self, client: ClientId, waiting: Waiting) -> Result<bool, Fault> {
        let mut queues = self.queues();
        let first = !queues.contains_key(&client);
        let queue = queues.entry(client).or_default();
        if queue.len() >= MOST_WAITING {
            return Err(Fault::unavailable("too many calls wait for this limit; try again"));
        }
        queue.push_back(waiting);
        Ok(first)
    }
}

/// The task that serves one tenant until nobody waits. Should it end otherwise, those who wait are told.
struct Turn {
    batches: Batches,
    tenant: Tenant,
    /// Whether the limits may be far.
    ample: bool,
    /// Whether the queue is taken away; the next one is not ours.
    over: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            self.batches.queues().remove(&self.tenant.id());
        }
    }
}

impl Turn {
    async fn serve(mut self) {
        while let Some(mut together) = self.next() {
            together.retain(|waiting| !waiting.answer.is_closed());
            let Some(first) = together.first() else { continue };
            metrics::counter!("onekeel_quota_reserve_batches_total").increment(1);
            let (carried, span) = (first.carried.clone(), first.span.clone());
            let carried = carried.until(Deadline::after(LONGEST_BATCH));
            carried.scope(self.answer(together)).instrument(span).await;
        }
    }

    /// The next batch; `None` takes the empty queue away.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut queues = self.batches.queues();
        let queue = queues.get_mut(&self.tenant.id())?;
        let most = queue.len().min(MOST_TOGETHER);
        if most == 0 {
            queues.remove(&self.tenant.id());
            self.over = true;
            return None;
        }
        Some(queue.drain(..most).collect())
    }

    async fn answer(&mut self, together: Vec<Waiting>) {
        let wishes: Vec<_> = together.iter().map(|waiting| waiting.wish.clone()).collect();
        let tried = match self.grant_together(&wishes).await {
            Ok(tried) => tried,
            // One of them is a repetition: each is decided alone.
            Err(fault) if fault.reason() == ErrorReason::AlreadyExists => {
                let mut tried = Vec::with_capacity(wishes.len());
                for wish in &wishes {
                    tried.push(self.alone(wish).await);
                }
                tried
            }
            Err(fault) => wishes.iter().map(|_| Err(fault.clone())).collect(),
        };
        let mut unwanted = Vec::new();
        for (waiting, tried) in together.into_iter().zip(tried) {
            if let Err(Ok(Tried::Granted(leases))) = waiting.answer.send(tried) {
                unwanted.extend(leases);
            }
        }
        self.give_back(unwanted).await;
    }

    /// In one statement while the limits are far. What it cannot say, also when its connection was lost, a transaction says:
    /// it meets the request ids of leases that were written, and those of wishes without one end unused.
    async fn grant_together(&mut self, wishes: &[Arc<Wish>]) -> Result<Vec<Result<Tried, Fault>>, Fault> {
        if self.ample {
            match grant_amply(&self.batches.store, &self.tenant, wishes).await {
                Ok(Some(granted)) => return Ok(granted.into_iter().map(Ok).collect()),
                Err(fault) if fault.reason() == ErrorReason::AlreadyExists => return Err(fault),
                Ok(None) | Err(_) => self.ample = false,
            }
        }
        self.grant(wishes).await
    }

    async fn grant(&self, wishes: &[Arc<Wish>]) -> Result<Vec<Result<Tried, Fault>>, Fault> {
        let grant = async |tx: &mut TenantTx| grant(tx, wishes).await;
        self.batches.store.run(&self.tenant, "reserve", grant).await
    }

    async fn alone(&self, wish: &Arc<Wish>) -> Result<Tried, Fault> {
        match self.grant(std::slice::from_ref(wish)).await {
            Ok(mut tried) => tried.pop().unwrap_or_else(|| Err(Fault::internal("no wish was tried"))),
            // The first try's answer was lost on its way: its leases live, and they are the answer.
            Err(fault) if fault.reason() == ErrorReason::AlreadyExists => {
                let found = async |tx: &mut TenantTx| find(tx, wish).await;
                let found = self.batches.store.run(&self.tenant, "find_reservation", found).await;
                // Settled between the two transactions: the wish itself was not granted.
                found?.map(Tried::Granted).ok_or_else(used_before)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Leases of calls that are gone. What cannot be settled now ends with its lease.
    async fn give_back(&self, unwanted: Vec<Reservation>) {
        for lease in unwanted {
            if let Err(fault) = settle(&self.batches.store, &self.tenant, lease.id).await {
                tracing::debug!(lease.id = %lease.id, %fault, "an unwanted lease is left to the sweeper");
            }
        }
    }
}
