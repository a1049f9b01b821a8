//! What LeadService's login does: charges in transactions that stay open for a while, and what the database refuses.
use std::time::Duration;

use anyhow::{bail, ensure};
use onekeel_api::ClientId;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::driver::{Driver, LONGEST_SWEEP, pick};
use super::model::Lease;
use super::steps::{Cheat, RESOURCES};

const MOST_OPEN: usize = 5;

/// A transaction with a charge.
pub struct Open {
    login: PgConnection,
    backend: i32,
    lease: Uuid,
    first: i64,
    units: i64,
}

impl Driver<'_> {
    /// A connection as LeadService's, in a transaction of the tenant.
    async fn begin(&mut self) -> anyhow::Result<PgConnection> {
        let mut login = match self.idle.pop() {
            Some(login) => login,
            None => PgConnection::connect(&self.world.stack.database.url_for("lead")?).await?,
        };
        sqlx::query("begin").execute(&mut login).await?;
        sqlx::query("select onekeel.set_tenant($1)")
            .bind(self.client.uuid())
            .execute(&mut login)
            .await?;
        Ok(login)
    }

    pub async fn charge(&mut self, number: usize, units: i64) -> anyhow::Result<()> {
        let lease = self.pick_living(number).filter(|lease| lease.next < lease.amount);
        let Some(lease) = lease.filter(|_| self.open.len() < MOST_OPEN) else {
            return Ok(());
        };
        let (first, units) = (lease.next, units.min(lease.amount - lease.next));
        let mut login = self.begin().await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut login)
            .await?;
        insert_charge(&mut login, self.client, &lease, first, units, lease.amount).await?;
        let known = self.model.get(lease.id);
        known.next += units;
        known.open += 1;
        self.open.push(Open {
            login,
            backend,
            lease: lease.id,
            first,
            units,
        });
        self.count("charge");
        Ok(())
    }

    /// Ends an open transaction by commit, abort or cancel.
    pub async fn end(&mut self, number: usize, how: &'static str) -> anyhow::Result<()> {
        let Some(place) = number.checked_rem(self.open.len()) else {
            return Ok(());
        };
        let mut open = self.open.remove(place);
        match how {
            "commit" => {
                sqlx::query("commit").execute(&mut open.login).await?;
                self.idle.push(open.login);
            }
            "abort" => {
                sqlx::query("rollback").execute(&mut open.login).await?;
                self.idle.push(open.login);
            }
            _ => {
                drop(open.login);
                self.wait_for_the_end(open.backend).await?;
            }
        }
        let lease = self.model.get(open.lease);
        lease.open -= 1;
        let (resource, over) = (lease.resource, lease.expired && lease.open == 0);
        if how == "commit" {
            lease.committed += open.units;
            lease.spent.insert(open.first);
            self.model.rows[resource] += open.units;
        }
        self.count(how);
        if over {
            self.wait_until(|levels| !levels[resource].leases.contains(&open.lease))
                .await?;
        }
        Ok(())
    }

    /// Until a session whose connection has gone away is over.
    async fn wait_for_the_end(&self, backend: i32) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LONGEST_SWEEP;
        let mut round = tokio::time::interval(Duration::from_millis(5));
        loop {
            round.tick().await;
            let there: bool = sqlx::query_scalar("select exists(select from pg_stat_activity where pid = $1)")
                .bind(backend)
                .fetch_one(&self.world.behind)
                .await?;
            if !there {
                return Ok(());
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "the session outlives its connection"
            );
        }
    }

    pub async fn cheat(&mut self, number: usize, cheat: Cheat) -> anyhow::Result<()> {
        let lease = match cheat {
            Cheat::Ended => {
                let ended: Vec<&Lease> = self.model.leases.iter().filter(|lease| !lease.living).collect();
                pick(&ended, number).map(|lease| (*lease).clone())
            }
            _ => self.pick_living(number).filter(|lease| !lease.expired),
        };
        let Some(lease) = lease else {
            return Ok(());
        };
        let (first, of, constraint) = match cheat {
            Cheat::Twice => match lease.spent.first() {
                Some(first) => (*first, lease.amount, "charges_pkey"),
                None => return Ok(()),
            },
            Cheat::Beyond => (lease.amount, lease.amount, "charges_range_check"),
            Cheat::Larger => (lease.amount, lease.amount + 1, "charges_reservation_fkey"),
            Cheat::Ended => (0, lease.amount, "charges_reservation_fkey"),
        };
        let mut login = self.begin().await?;
        let Err(error) = insert_charge(&mut login, self.client, &lease, first, 1, of).await else {
            bail!("admitted: {lease:?}");
        };
        let broken = error.as_database_error().and_then(|database| database.constraint());
        ensure!(broken == Some(constraint), "{error:?} instead of {constraint}");
        sqlx::query("rollback").execute(&mut login).await?;
        self.idle.push(login);
        self.count("cheat refused");
        Ok(())
    }

    /// Rows are deleted.
    pub async fn release(&mut self, resource: usize, units: i64) -> anyhow::Result<()> {
        if self.model.rows[resource] < units {
            return Ok(());
        }
        let mut login = self.begin().await?;
        sqlx::query("insert into quota.releases (client_id, id, resource, units) values ($1, $2, $3, $4)")
            .bind(self.client.uuid())
            .bind(Uuid::now_v7())
            .bind(RESOURCES[resource].name())
            .bind(units)
            .execute(&mut login)
            .await?;
        sqlx::query("commit").execute(&mut login).await?;
        self.idle.push(login);
        self.model.rows[resource] -= units;
        self.count("release");
        Ok(())
    }
}

async fn insert_charge(
    login: &mut PgConnection,
    client: ClientId,
    lease: &Lease,
    first: i64,
    units: i64,
    of: i64,
) -> Result<(), sqlx::Error> {
    let charge = sqlx::query(
        "insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
        values ($1, $2, $3, $4, $5, $6)",
    );
    charge
        .bind(client.uuid())
        .bind(lease.id)
        .bind(first)
        .bind(units)
        .bind(RESOURCES[lease.resource].name())
        .bind(of)
        .execute(login)
        .await
        .map(drop)
}
