//! Which run of PostgreSQL connections lead to. A database that was put back to an earlier state, or a replica that took over
//! without the last commits, is another run; what is remembered of the one before may never have been in it.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Error, PgConnection};

/// The run that was met last; each change of it gives another number.
#[derive(Default)]
pub(crate) struct Incarnation {
    number: AtomicU64,
    /// When it began, by its own clock.
    began: Mutex<Option<DateTime<Utc>>>,
}

impl Incarnation {
    /// Looks where a new connection leads, before anybody has it.
    pub async fn look(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let began = sqlx::query_scalar("select pg_postmaster_start_time()");
        self.note(began.fetch_one(connection).await?);
        Ok(())
    }

    fn note(&self, began: DateTime<Utc>) {
        let mut last = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if last.replace(began) != Some(began) {
            self.number.fetch_add(1, Ordering::Release);
        }
    }

    /// Its number, for comparison with an earlier one.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_has_another_number() {
        let (incarnation, at) = (Incarnation::default(), |seconds| DateTime::from_timestamp(seconds, 0));
        let numbers = [7, 7, 9, 9, 7].map(|seconds| {
            incarnation.note(at(seconds).expect("a time"));
            incarnation.number()
        });
        assert_eq!(numbers, [1, 1, 2, 2, 3]);
    }
}
