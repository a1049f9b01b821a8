//! Two of the doors: a named transaction, and a single statement that reads.
use std::pin::pin;
use std::time::{Duration, Instant};

use onekeel_api::{Call, Deadline, ErrorReason, Fault};
use onekeel_tenancy::Tenant;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use crate::error::{fault, is_connection_lost};
use crate::lane::Held;
use crate::open::LONGEST_STATEMENT;
use crate::tx::{Single, TenantTx};
use crate::{DbResult, Store};

const MOST_ATTEMPTS: u32 = 5;
const FIRST_BACKOFF: Duration = Duration::from_millis(2);

impl Store {
    /// Runs `work` in a transaction bound to `tenant`: begins, sets the tenant, commits, and repeats what lost a race.
    ///
    /// `work` may run more than once, so it does nothing but SQL. Ends at the call's deadline, or after 30 s.
    /// Cancel-safe: a dropped call rolls back, or commits when COMMIT was already on its way.
    ///
    /// # Errors
    /// Whatever `work` returns; `CONFLICT` after five lost races; `UNAVAILABLE` when the database is not reachable,
    /// marked [`Fault::is_commit_unknown`] when that happened during COMMIT.
    pub async fn run<T, W>(&self, tenant: &Tenant, name: &'static str, work: W) -> Result<T, Fault>
    where
        W: AsyncFnOnce(&mut TenantTx) -> Result<T, Fault> + Clone,
    {
        let repeated = pin!(async {
            let mut races = Races::new(name);
            loop {
                match self.attempt(tenant, name, work.clone()).await {
                    Err(fault) => races.lost(fault).await?,
                    done => return done,
                }
            }
        });
        self.metered(name, repeated).await
    }

    /// Runs a transaction with its repetitions until the call's deadline, and counts and times the whole. Pass what is pinned
    /// where it stands: it is large, and would be moved several times.
    pub(crate) async fn metered<T>(
        &self,
        name: &'static str,
        repeated: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let (span, began) = (transaction_span(name), Instant::now());
        let limit = Deadline::remaining_or(LONGEST_STATEMENT);
        let outcome = tokio::time::timeout(limit, repeated.instrument(span.clone())).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Fault::deadline_exceeded()));
        let meter = self.meters.transaction(name);
        meter.seconds.record(began.elapsed());
        match &outcome {
            Ok(_) => meter.committed.increment(1),
            Err(fault) => {
                let reason = fault.reason().name();
                metrics::counter!("onekeel_db_transactions_total", "name" => name, "outcome" => reason).increment(1);
                mark(&span, fault);
            }
        }
        outcome
    }

    async fn attempt<T, W>(&self, tenant: &Tenant, name: &'static str, work: W) -> Result<T, Fault>
    where
        W: AsyncFnOnce(&mut TenantTx) -> Result<T, Fault>,
    {
        let mut tx = TenantTx::begin(self, tenant, name).await?;
        match work(&mut tx).await {
            Ok(value) => tx.commit().await.map(|()| value),
            Err(fault) => {
                tx.rollback().await;
                Err(fault)
            }
        }
    }

    /// Runs one reading statement in one round trip. The statement is a call of a SQL function that sets the tenant
    /// from its first argument, so that nothing of it survives the statement.
    pub async fn one<T, W>(&self, tenant: &Tenant, name: &'static str, work: W) -> Result<T, Fault>
    where
        W: AsyncFnOnce(&mut Single) -> Result<T, sqlx::Error> + Clone,
    {
        self.read(tenant.id().uuid(), name, work).await
    }

    /// Runs one statement on the tables that belong to no tenant, the plan catalogue for example. No tenant is set, so
    /// that every other table looks empty. It reads, or may be repeated without harm, as a dead connection has it run
    /// again.
    pub async fn catalogue<T, W>(&self, name: &'static str, work: W) -> Result<T, Fault>
    where
        W: AsyncFnOnce(&mut Single) -> Result<T, sqlx::Error> + Clone,
    {
        self.read(Uuid::nil(), name, work).await
    }

    /// A dead connection is replaced and the statement repeated.
    async fn read<T, W>(&self, client: Uuid, name: &'static str, work: W) -> Result<T, Fault>
    where
        W: AsyncFnOnce(&mut Single) -> Result<T, sqlx::Error> + Clone,
    {
        let (span, began) = (transaction_span(name), Instant::now());
        let read = pin!(async {
            let most = self.connections.most();
            let mut tried = 0;
            loop {
                let mut single = Single::acquire(self, client).await.db()?;
                match work.clone()(&mut single).await {
                    Err(error) if is_connection_lost(&error) && tried < most => single.discard(),
                    Err(error) => return Err(fault(&error)),
                    Ok(value) => {
                        single.hand_on();
                        return Ok(value);
                    }
                }
                tried += 1;
            }
        });
        let limit = Deadline::remaining_or(LONGEST_STATEMENT);
        let read = tokio::time::timeout(limit, read.instrument(span.clone())).await;
        self.meters.statement(name).record(began.elapsed());
        let read = read.unwrap_or_else(|_| Err(Fault::deadline_exceeded()));
        read.inspect_err(|fault| mark(&span, fault))
    }

    /// A connection in the lane of this tenant; in none for the nil one. First the lane: who waits for it holds nothing.
    pub(crate) async fn acquire(&self, client: Uuid) -> Result<Held, sqlx::Error> {
        let place = if client.is_nil() {
            None
        } else {
            Some(self.lanes.enter(client).await?)
        };
        let connection = self.meters.acquire(&self.connections).await?;
        Ok(Held {
            connection,
            _place: place,
        })
    }
}

/// The races that a transaction has lost.
pub(crate) struct Races {
    name: &'static str,
    lost: u32,
    backoff: Duration,
}

impl Races {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            lost: 0,
            backoff: FIRST_BACKOFF,
        }
    }

    /// Waits before the next attempt when that may help; otherwise the fault is the outcome.
    pub async fn lost(&mut self, fault: Fault) -> Result<(), Fault> {
        self.lost += 1;
        if fault.reason() != ErrorReason::Conflict || self.lost == MOST_ATTEMPTS {
            return Err(fault);
        }
        tracing::debug!(db.operation.name = self.name, attempt = self.lost, %fault, "transaction lost a race");
        metrics::counter!("onekeel_db_lost_races_total", "name" => self.name).increment(1);
        Span::current().record("onekeel.transaction.lost_races", i64::from(self.lost));
        tokio::time::sleep(self.backoff).await;
        self.backoff *= 3;
        Ok(())
    }
}

/// The span around everything that one transaction or single statement does, in a call that is recorded.
fn transaction_span(name: &'static str) -> Span {
    if !Call::is_recorded() {
        return Span::none();
    }
    tracing::info_span!(
        "db.transaction",
        otel.name = name,
        otel.status_code = field::Empty,
        db.system.name = "postgresql",
        onekeel.transaction.lost_races = field::Empty,
        error.type = field::Empty,
        error.reason = field::Empty,
    )
}

/// A refusal is told by its reason; an error is what the caller is not to blame for.
fn mark(span: &Span, fault: &Fault) {
    let reason = fault.reason();
    span.record("error.reason", reason.name());
    if matches!(
        reason,
        ErrorReason::Internal | ErrorReason::Unavailable | ErrorReason::DeadlineExceeded | ErrorReason::Conflict
    ) {
        span.record("otel.status_code", "error");
        span.record("error.type", reason.name());
    }
}
