//! Which run of PostgreSQL connections lead to. A database that was put back to an earlier state, or a replica that took over
//! without the last commits, is another run; what is remembered of the one before may never have been in it.
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Error, PgConnection};

/// The run that was met last: when it began, in microseconds since 1970 by its own clock.
#[derive(Default)]
pub(crate) struct Incarnation(AtomicI64);

impl Incarnation {
    /// Looks where a new connection leads, before anybody has it.
    pub async fn look(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let began = sqlx::query_scalar("select pg_postmaster_start_time()");
        let began: DateTime<Utc> = began.fetch_one(connection).await?;
        self.0.store(began.timestamp_micros(), Ordering::Release);
        Ok(())
    }

    /// When it began.
    pub fn began(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}
