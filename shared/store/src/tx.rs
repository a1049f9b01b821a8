//! A transaction that belongs to one tenant and cannot outlive its call.
use std::time::{Duration, Instant};

use onekeel_api::{Deadline, Fault, Meter};
use onekeel_tenancy::Tenant;
use prost::Message;
#[expect(
    clippy::disallowed_types,
    reason = "the tenant's setting and the event, see `begin` and `commit`, are the exceptions"
)]
use sqlx::AssertSqlSafe;
use sqlx::{Error, PgConnection, raw_sql};
use uuid::Uuid;

use crate::Store;
use crate::audit::{Event, Note};
use crate::cache::{Cache, Change, Kind};
use crate::error::{fault, is_connection_lost};
use crate::lane::Held;
use crate::open::LONGEST_STATEMENT;
use crate::statement::{Recording, Statement, mark};

const LONGEST_ROLLBACK: Duration = Duration::from_secs(2);

/// The time in which a call holds a connection; what it waits for one is not the tenant's fault.
struct Metered(Instant);

impl Drop for Metered {
    fn drop(&mut self) {
        Meter::note_database(self.0.elapsed());
    }
}

/// An open transaction in which only one tenant's rows exist.
///
/// It owns its connection: sqlx 0.9's own `begin` is not cancel-safe (transact-rs/sqlx #4385), and a call that is
/// dropped during BEGIN would hand its tenant to the next borrower. Dropped before its end, this rolls back in a
/// task of its own, and when that fails the connection is closed; it never returns to the pool in doubt.
pub struct TenantTx {
    connection: Option<Held>,
    tenant: Tenant,
    name: &'static str,
    event: Option<Event>,
    changes: Vec<Change>,
    cache: Cache,
    recording: Recording,
    metered: Option<Metered>,
}

impl TenantTx {
    /// Begins with a connection of the store; connections that died while idle are replaced, each at most once.
    pub(crate) async fn begin(store: &Store, tenant: &Tenant, name: &'static str) -> Result<Self, Fault> {
        let most = store.connections.most();
        let mut tried = 0;
        loop {
            let mut tx = Self::acquire(store, tenant, name).await?;
            let milliseconds = Deadline::remaining_or(LONGEST_STATEMENT).as_millis().max(1);
            // SQL that is put together at run time, here and in `commit` only; it holds a number and a parsed UUID.
            // One message, one round trip; `set local` ends with the transaction.
            let begin = format!(
                "begin; set local statement_timeout = {milliseconds}; set local app.current_client_id = '{}'",
                tx.client_id()
            );
            let span = tx.recording.span("BEGIN");
            let sent = raw_sql(AssertSqlSafe(begin)).execute(tx.raw()).await;
            let sent = sent.inspect_err(|error| mark(&span, error));
            match sent {
                Ok(_) => return Ok(tx),
                Err(error) if is_connection_lost(&error) && tried < most => {
                    tx.discard();
                    tried += 1;
                }
                Err(error) => return Err(fault(&error)),
            }
        }
    }

    /// With a connection on which nothing has begun.
    pub(crate) async fn acquire(store: &Store, tenant: &Tenant, name: &'static str) -> Result<Self, Fault> {
        let connection = store.acquire(tenant.id().uuid()).await.map_err(|error| fault(&error))?;
        Ok(Self {
            connection: Some(connection),
            tenant: tenant.clone(),
            name,
            event: None,
            changes: Vec::new(),
            cache: store.cache.clone(),
            recording: Recording::of(&store.connections),
            metered: Some(Metered(Instant::now())),
        })
    }

    /// The connection, for one statement.
    pub fn conn(&mut self) -> Statement<'_> {
        let recording = self.recording.clone();
        Statement::new(self.raw(), recording)
    }

    fn raw(&mut self) -> &mut PgConnection {
        self.connection
            .as_mut()
            .expect("the connection is taken only when the transaction ends")
    }

    /// The tenant, for `client_id = $1` in every statement.
    pub fn client_id(&self) -> Uuid {
        self.tenant.id().uuid()
    }

    /// The transaction's name, for `updated_by`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Notes what the transaction does, for the tenant's audit trail. The event is written in the message that commits,
    /// so that it costs no round trip, and exists if and only if the change does. One event a transaction: the last counts.
    pub fn audit(&mut self, event: Event) {
        self.event = Some(event);
    }

    /// Notes a row that the transaction writes and calls may have cached, as it is now, if it still is there. The cache
    /// learns of it when the transaction has committed, or may have.
    pub fn changed<T: Message + Default>(&mut self, kind: &Kind<T>, key: &str, version: u64, row: Option<&T>) {
        self.changes.push(Change::of(&self.tenant, kind, key, version, row));
    }

    /// Commits. A connection lost on the way leaves an outcome that nobody knows; the fault says so.
    pub(crate) async fn commit(mut self) -> Result<(), Fault> {
        // COMMIT of a failed transaction succeeds and rolls back; the statement before it makes that an error.
        let span = self.recording.span("COMMIT");
        let committed = match self.event.take() {
            Some(event) => {
                let commit = format!("{}; commit", self.note(&event).statement(self.client_id()));
                raw_sql(AssertSqlSafe(commit)).execute(self.raw()).await
            }
            None => raw_sql("select 1; commit").execute(self.raw()).await,
        };
        match committed.inspect_err(|error| mark(&span, error)) {
            Ok(_) => {
                self.hand_on();
                let _told = self.cache.tell(std::mem::take(&mut self.changes)).await;
                Ok(())
            }
            Err(error) if is_connection_lost(&error) => {
                self.discard();
                self.cache.doubt(std::mem::take(&mut self.changes));
                Err(fault(&error).commit_unknown())
            }
            Err(error) => Err(fault(&error)),
        }
    }

    /// Rolls back now, so that the caller's next step finds the locks gone.
    pub(crate) async fn rollback(mut self) {
        if let Some(connection) = self.connection.take() {
            let _span = self.recording.span("ROLLBACK");
            end(connection).await;
        }
    }

    /// What the audit trail is told about `event`.
    pub(crate) fn note(&self, event: &Event) -> Note {
        event.note(&self.tenant, self.name)
    }

    /// The last statement has ended well and nothing is open on the connection: it goes to the next call.
    pub(crate) fn hand_on(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.hand_on();
        }
        self.metered = None;
    }

    /// Nothing is open on the connection, whose last statement has failed: it goes back to the pool.
    pub(crate) fn let_go(&mut self) {
        self.connection = None;
        self.metered = None;
    }

    /// The connection is of no more use.
    pub(crate) fn discard(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}

impl Drop for TenantTx {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        metrics::counter!("onekeel_db_dropped_transactions_total").increment(1);
        // Its COMMIT may be on its way.
        self.cache.doubt(std::mem::take(&mut self.changes));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end(connection))),
            Err(_) => connection.close_on_drop(),
        }
    }
}

async fn end(connection: Held) {
    // Closed unless the rollback is known to have worked; also when this future itself is dropped.
    let mut doubtful = Doubtful(Some(connection));
    let connection = doubtful.0.as_mut().expect("just put there");
    let rolled_back = tokio::time::timeout(LONGEST_ROLLBACK, raw_sql("rollback").execute(&mut **connection)).await;
    if matches!(rolled_back, Ok(Ok(_))) {
        // To the pool, and not to the next call: nobody knows how far the statement before it had come.
        drop(doubtful.0.take());
    }
}

struct Doubtful(Option<Held>);

impl Drop for Doubtful {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}

/// A connection for exactly one statement that reads.
pub struct Single {
    connection: Held,
    client: Uuid,
    recording: Recording,
    _metered: Metered,
}

impl Single {
    pub(crate) async fn acquire(store: &Store, client: Uuid) -> Result<Self, Error> {
        Ok(Self {
            connection: store.acquire(client).await?,
            client,
            recording: Recording::of(&store.connections),
            _metered: Metered(Instant::now()),
        })
    }

    /// The connection, for the statement.
    pub fn conn(&mut self) -> Statement<'_> {
        Statement::new(&mut self.connection, self.recording.clone())
    }

    /// The tenant, for the function's first argument.
    pub fn client_id(&self) -> Uuid {
        self.client
    }

    /// The statement has ended well.
    pub(crate) fn hand_on(self) {
        self.connection.hand_on();
    }

    pub(crate) fn discard(&mut self) {
        self.connection.close_on_drop();
    }
}
