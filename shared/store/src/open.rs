//! The pool, and how it is opened.
use std::sync::Arc;
use std::time::Duration;

use onekeel_api::Fault;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::cache::{Cache, CacheConfig};
use crate::incarnation::Incarnation;
use crate::lane::Lanes;
use crate::meters::Meters;
use crate::pool::{Connections, LONGEST_ACQUIRE};
use crate::{DbResult, Single};

/// Longest statement of a call without a deadline of its own.
pub(crate) const LONGEST_STATEMENT: Duration = Duration::from_secs(30);
const LONGEST_IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// Where the database is and how many connections one process may hold.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://…` with the service's own login.
    pub url: String,
    /// Most connections; twice the cores is a good start.
    pub max_connections: u32,
    /// Name of the process in `pg_stat_activity`.
    pub application: String,
    /// The cache; without one, every read goes to the database.
    pub cache: Option<CacheConfig>,
}

/// The door to the database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) connections: Connections,
    pub(crate) lanes: Lanes,
    pub(crate) meters: Arc<Meters>,
    pub(crate) cache: Cache,
    incarnation: Arc<Incarnation>,
    database: Arc<str>,
}

impl Store {
    /// Opens the pool with one connection, so that a wrong address or login is known at once.
    pub async fn connect(config: StoreConfig) -> Result<Self, Fault> {
        let options: PgConnectOptions = config.url.parse::<PgConnectOptions>().map_err(|_| {
            // The error of the parser may quote the address, and the address holds a password.
            Fault::internal("DATABASE_URL is no postgres:// address")
        })?;
        let options = options
            .application_name(&config.application)
            .options([
                ("statement_timeout", LONGEST_STATEMENT.as_millis().to_string()),
                (
                    "idle_in_transaction_session_timeout",
                    LONGEST_IDLE_IN_TRANSACTION.as_millis().to_string(),
                ),
                // The planner takes functions that return one row for a thousand; compiling the statement would take longer
                // than any of ours runs.
                ("jit", "off".to_owned()),
            ])
            .disable_statement_logging();
        let database = options.get_database().unwrap_or_default().into();
        let incarnation = Arc::<Incarnation>::default();
        let met = incarnation.clone();
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(LONGEST_ACQUIRE)
            // One round trip less for each call; a connection found dead at BEGIN is replaced (see `run`).
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let met = met.clone();
                Box::pin(async move { met.look(connection).await })
            })
            .connect_with(options)
            .await
            .db()?;
        Ok(Self {
            connections: Connections::of(pool),
            lanes: Lanes::of(config.max_connections),
            meters: Arc::default(),
            cache: config.cache.map(Cache::connect).transpose()?.unwrap_or_default(),
            incarnation,
            database,
        })
    }

    /// The database's name.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// The run of PostgreSQL that this process has met last, by when it began: microseconds since 1970. What was read while it
    /// was another one may have been undone since, by a restore or by a replica that took over.
    pub fn database_run(&self) -> i64 {
        self.incarnation.began()
    }

    /// The tenants' cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Whether the database answers; for readiness.
    pub async fn ping(&self) -> Result<(), Fault> {
        let ping = async |single: &mut Single| sqlx::query("select 1").execute(single.conn()).await;
        self.catalogue("ping", ping).await.map(drop)
    }

    /// Connections that are open, how many of them are idle, and how many there may be; for metrics.
    pub fn pool_size(&self) -> (u32, usize, u32) {
        let (open, idle) = self.connections.size();
        (open, idle, self.connections.most())
    }

    /// Waits until every connection is back and closes it.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}
