//! A statement that writes, in one round trip: it sets its tenant itself, and as no transaction is open it commits itself.
use std::pin::pin;

use onekeel_api::Fault;
use onekeel_tenancy::Tenant;
use sqlx::error::DatabaseError;
use uuid::Uuid;

use crate::audit::{Event, Note};
use crate::error::{fault, is_connection_lost};
use crate::run::Races;
use crate::statement::Statement;
use crate::tx::TenantTx;
use crate::{DbResult, Store};

/// A connection for exactly one statement that writes.
///
/// The statement takes its tenant from `(select $1 as client_id from onekeel.set_tenant($1))`, and all rows that it writes
/// come from there: without that, row-level security refuses them. Nothing of it survives the statement. Dropped before the
/// statement has ended, the connection is cleared in a task of its own or closed, as that of a [`TenantTx`].
pub struct Once(TenantTx);

impl Once {
    /// The connection, for the statement.
    pub fn conn(&mut self) -> Statement<'_> {
        self.0.conn()
    }

    /// The tenant, for the statement's first parameter.
    pub fn client_id(&self) -> Uuid {
        self.0.client_id()
    }

    /// What it is called, for `updated_by`.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// What `audit.note` is to be told; the statement calls it.
    pub fn note(&self, event: &Event) -> Note {
        self.0.note(event)
    }
}

impl Store {
    /// Runs one statement that writes for `tenant`, and repeats it where the connection was lost or a race. `work` tells
    /// whether it has written; `known` is what a broken constraint means to the caller, by its name.
    ///
    /// The row that it writes first has a key that the call made for itself alone, and the statement does nothing where that
    /// row is there already (`on conflict … do nothing`). So whether a lost connection has committed is found out by the
    /// next attempt, whose look at the key comes before all other constraints and waits for a commit that is on its way.
    /// Ends at the call's deadline, or after 30 s.
    ///
    /// Cancel-safe: a dropped call has written everything or nothing.
    ///
    /// # Errors
    /// What `known` says; `CONFLICT` after five lost races; `UNAVAILABLE` when the database is not reachable, marked
    /// [`Fault::is_commit_unknown`] when the statement may have been committed; `INTERNAL` when the first attempt has written
    /// nothing.
    pub async fn once<W>(
        &self,
        tenant: &Tenant,
        name: &'static str,
        known: fn(&str) -> Option<Fault>,
        work: W,
    ) -> Result<(), Fault>
    where
        W: AsyncFnOnce(&mut Once) -> Result<bool, sqlx::Error> + Clone,
    {
        let most = self.connections.most();
        let repeated = pin!(async {
            let (mut races, mut lost) = (Races::new(name), 0);
            let in_doubt = |fault: Fault, lost: u32| if lost > 0 { fault.commit_unknown() } else { fault };
            loop {
                let acquired = TenantTx::acquire(self, tenant, name).await;
                let mut once = Once(acquired.map_err(|fault| in_doubt(fault, lost))?);
                let error = match work.clone()(&mut once).await {
                    Ok(written) => {
                        once.0.hand_on();
                        return if written || lost > 0 {
                            Ok(())
                        } else {
                            Err(nothing(name))
                        };
                    }
                    Err(error) => error,
                };
                if is_connection_lost(&error) {
                    // While idle or under the statement; each is replaced at most once.
                    once.0.discard();
                    lost += 1;
                    if lost > most {
                        return Err(in_doubt(fault(&error), lost));
                    }
                    continue;
                }
                once.0.let_go();
                if error.as_database_error().and_then(DatabaseError::constraint).is_some() {
                    // It was refused for what it is: no earlier attempt has written it.
                    return Err(error).on_constraint(known);
                }
                races.lost(in_doubt(fault(&error), lost)).await?;
            }
        });
        self.metered(name, repeated).await
    }

    /// Runs one statement that writes for `tenant`, and repeats nothing: whoever calls has a way of its own to find out what
    /// a lost connection has committed. `known` is what a broken constraint means to the caller, by its name.
    ///
    /// Cancel-safe: a dropped call has written everything or nothing.
    ///
    /// # Errors
    /// What `known` says; `CONFLICT` for a lost race; `UNAVAILABLE` when the database is not reachable, marked
    /// [`Fault::is_commit_unknown`] when the connection was lost.
    pub async fn at_most_once<T, W>(
        &self,
        tenant: &Tenant,
        name: &'static str,
        known: fn(&str) -> Option<Fault>,
        work: W,
    ) -> Result<T, Fault>
    where
        W: AsyncFnOnce(&mut Once) -> Result<T, sqlx::Error>,
    {
        let attempt = pin!(async {
            let mut once = Once(TenantTx::acquire(self, tenant, name).await?);
            let done = work(&mut once).await;
            match &done {
                Ok(_) => once.0.hand_on(),
                Err(error) if is_connection_lost(error) => {
                    once.0.discard();
                    return Err(fault(error).commit_unknown());
                }
                Err(_) => once.0.let_go(),
            }
            done.on_constraint(known)
        });
        self.metered(name, attempt).await
    }
}

fn nothing(name: &str) -> Fault {
    Fault::internal(format!("{name} has written nothing, though its key is new"))
}
