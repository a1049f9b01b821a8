//! What a database error means to a caller. SQLSTATE, SQL and row content stay here.
use onekeel_api::{ErrorReason, Fault};
use sqlx::Error;
use sqlx::error::DatabaseError;

/// A charge whose lease has been settled, or whose units are spent already.
const FENCES: [&str; 2] = ["charges_reservation_fkey", "charges_pkey"];

/// Turns sqlx's errors into faults.
pub trait DbResult<T> {
    /// Any error as a fault.
    fn db(self) -> Result<T, Fault>;

    /// As [`DbResult::db`], but lets `known` name what a broken constraint means. Match on the prefix of the
    /// name: a partition's constraint carries a suffix.
    fn on_constraint(self, known: impl FnOnce(&str) -> Option<Fault>) -> Result<T, Fault>;
}

impl<T> DbResult<T> for Result<T, Error> {
    fn db(self) -> Result<T, Fault> {
        self.map_err(|error| fault(&error))
    }

    fn on_constraint(self, known: impl FnOnce(&str) -> Option<Fault>) -> Result<T, Fault> {
        self.map_err(|error| {
            let constraint = error.as_database_error().and_then(DatabaseError::constraint);
            constraint.and_then(known).unwrap_or_else(|| fault(&error))
        })
    }
}

/// Whether the connection is of no more use; what was sent on it may or may not have happened.
pub(crate) fn is_connection_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed => true,
        // Class 57P: the server shuts down, or an administrator ended the session.
        Error::Database(database) => database.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

pub(crate) fn fault(error: &Error) -> Fault {
    let database = match error {
        Error::Database(database) => database,
        Error::PoolTimedOut | Error::PoolClosed => {
            return Fault::unavailable("the database is busy; try again").cause(error);
        }
        _ if is_connection_lost(error) => {
            return Fault::unavailable("the database is not reachable; try again").cause(error);
        }
        _ => return Fault::internal(error),
    };
    let code = database.code().unwrap_or_default();
    let constraint = database.constraint().unwrap_or_default();
    let cause = format!(
        "sqlstate {code}, table {:?}, constraint {constraint:?}",
        database.table()
    );
    match code.as_ref() {
        "23503" | "23505" if FENCES.iter().any(|fence| constraint.starts_with(fence)) => {
            Fault::unavailable("the quota lease ended meanwhile; try again")
                .fenced()
                .cause(cause)
        }
        "40001" | "40P01" => {
            Fault::new(ErrorReason::Conflict, "another call changed the same data; try again").cause(cause)
        }
        "57014" => Fault::deadline_exceeded().cause(cause),
        "53300" | "53400" => Fault::unavailable("the database is busy; try again").cause(cause),
        code if code.starts_with("57P") || code == "25P03" => {
            Fault::unavailable("the database is not reachable; try again").cause(cause)
        }
        _ => Fault::internal(cause),
    }
}
