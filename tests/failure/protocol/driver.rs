//! Does each step in earnest, and compares what came of it with the model.
use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use onekeel_api::quota::{Lease as Granted, ReserveItem, ReserveRequest, Resource};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_tests::World;
use sqlx::{Connection, PgConnection};
use tonic::Status;
use uuid::Uuid;

use super::Counts;
use super::ledger::{Level, compare, read};
use super::model::{Lease, Model, Outcome};
use super::steps::{Cheat, RESOURCES, Step};
use crate::holder::Voice;

const CAPS: [i64; 2] = [8, 10];
const MOST_OPEN: usize = 5;
/// For a wish that must be decided, and for one that nobody can decide.
const PATIENCE: Duration = Duration::from_secs(20);
const IMPATIENCE: Duration = Duration::from_millis(150);
const LONGEST_SWEEP: Duration = Duration::from_secs(20);

/// A transaction with a charge.
struct Open {
    login: PgConnection,
    backend: i32,
    lease: Uuid,
    first: i64,
    units: i64,
}

/// One tenant on its way through a sequence.
pub struct Driver<'a> {
    world: &'a mut World,
    counts: &'a RefCell<Counts>,
    client: ClientId,
    voice: Voice,
    model: Model,
    open: Vec<Open>,
    /// Connections that no transaction uses.
    idle: Vec<PgConnection>,
    requests: [Uuid; 3],
}

fn pick<T>(list: &[T], number: usize) -> Option<&T> {
    number.checked_rem(list.len()).map(|place| &list[place])
}

impl<'a> Driver<'a> {
    pub async fn new(world: &'a mut World, counts: &'a RefCell<Counts>) -> anyhow::Result<Self> {
        let client = world.member("enterprise").await?.id;
        for (resource, cap) in RESOURCES.into_iter().zip(CAPS) {
            world.limit(client, resource.name(), cap).await?;
        }
        Ok(Self {
            voice: Voice::new(&world.stack, 0)?,
            world,
            counts,
            client,
            model: Model {
                caps: CAPS,
                rows: [0; 2],
                leases: Vec::new(),
            },
            open: Vec::new(),
            idle: Vec::new(),
            requests: std::array::from_fn(|_| Uuid::new_v4()),
        })
    }

    pub async fn run(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        for (number, step) in steps.iter().enumerate() {
            self.step(step)
                .await
                .with_context(|| format!("step {number}, {step:?}"))?;
        }
        self.rest().await.context("at rest")
    }

    fn count(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Reserve {
                resources,
                min,
                more,
                request,
            } => self.reserve(resources, *min, *more, *request).await?,
            Step::Charge { lease, units } => self.charge(*lease, *units).await?,
            Step::Commit { open } => self.end(*open, "commit").await?,
            Step::Abort { open } => self.end(*open, "abort").await?,
            Step::Cancel { open } => self.end(*open, "cancel").await?,
            Step::Cheat { lease, cheat } => self.cheat(*lease, *cheat).await?,
            Step::Settle { lease } => self.settle(*lease).await?,
            Step::Release { resource, units } => self.release(*resource, *units).await?,
            Step::Expire { lease } => self.expire(*lease).await?,
            Step::Fold => {
                self.wait_until(|levels| levels.iter().all(|level| level.released == 0))
                    .await?;
                self.count("fold");
            }
            Step::Limit { resource, cap } => {
                self.world.limit(self.client, RESOURCES[*resource].name(), *cap).await?;
                self.model.caps[*resource] = *cap;
                self.count("limit");
            }
            Step::Crash => {
                self.world.stack.server("quota", 0)?.kill_and_restart().await?;
                self.voice = Voice::new(&self.world.stack, 0)?;
                self.count("crash");
            }
        }
        self.check(|_| false).await.map(drop)
    }

    async fn check(&mut self, may_end: impl Fn(usize) -> bool) -> anyhow::Result<Vec<Level>> {
        let levels = read(&self.world.behind, self.client).await?;
        compare(&levels, &mut self.model, may_end)?;
        Ok(levels)
    }

    async fn wait_until(&self, holds: impl Fn(&[Level]) -> bool) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LONGEST_SWEEP;
        let mut round = tokio::time::interval(Duration::from_millis(20));
        loop {
            round.tick().await;
            let levels = read(&self.world.behind, self.client).await?;
            if holds(&levels) {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "not swept: {levels:?}");
        }
    }

    async fn reserve(&mut self, resources: &[usize], min: i64, more: i64, request: Option<u8>) -> anyhow::Result<()> {
        let request = request.and_then(|number| pick(&self.requests, number.into()).copied());
        let before = read(&self.world.behind, self.client).await?;
        // Room that is there before anything is settled; folding may only add to it.
        let short = |resource: usize| before[resource].cap - before[resource].used - before[resource].reserved < min;
        let any_short = resources.iter().any(|resource| short(*resource));
        let settled = self.model.outcome(resources, min);
        let known = request.and_then(|request| self.model.known(request, resources));
        // A wish that is short at first may find its old leases or settle them, as it comes.
        let expected: Vec<Outcome> = match known {
            Some(known) if any_short => vec![known, settled, Outcome::InUse],
            Some(known) => vec![known],
            None => vec![settled],
        };
        let items = resources.iter().map(|resource| ReserveItem {
            resource: RESOURCES[*resource].into(),
            min,
            max: min + more,
        });
        let wish = ReserveRequest {
            items: items.collect(),
            ttl: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            request_id: request.map(|id| id.to_string()).unwrap_or_default(),
        };
        let mut wish = self.voice.request(self.client, wish)?;
        wish.set_timeout(if expected.contains(&Outcome::InUse) {
            IMPATIENCE
        } else {
            PATIENCE
        });
        let answer = self.voice.reserve(wish).await;
        let came = self.learn(&answer, request, resources, min, more)?;
        ensure!(expected.contains(&came), "{came:?} instead of {expected:?}: {answer:?}");
        let levels = self
            .check(|resource| resources.contains(&resource) && short(resource))
            .await?;
        match came {
            Outcome::Granted => {
                for resource in resources {
                    let level = &levels[*resource];
                    ensure!(
                        level.used + level.reserved <= level.cap,
                        "granted beyond the limit: {level:?}"
                    );
                }
                self.count("reserve: granted");
            }
            Outcome::Same(_) => self.count("reserve: same"),
            Outcome::Conflict => self.count("reserve: conflict"),
            Outcome::Exceeded => self.count("reserve: exceeded"),
            Outcome::InUse => self.count("reserve: in use"),
        }
        Ok(())
    }

    /// What the answer means; leases that it grants are known from now on.
    fn learn(
        &mut self,
        answer: &Result<Vec<Granted>, Status>,
        request: Option<Uuid>,
        resources: &[usize],
        min: i64,
        more: i64,
    ) -> anyhow::Result<Outcome> {
        let leases = match answer {
            Ok(leases) => leases,
            Err(status) => {
                return Ok(match Fault::from_status(status).reason() {
                    ErrorReason::QuotaExceeded => Outcome::Exceeded,
                    ErrorReason::Conflict => Outcome::Conflict,
                    ErrorReason::Unavailable | ErrorReason::DeadlineExceeded => Outcome::InUse,
                    _ => bail!("{status:?}"),
                });
            }
        };
        let wanted: Vec<Resource> = resources.iter().map(|resource| RESOURCES[*resource]).collect();
        ensure!(leases.iter().map(Granted::resource).eq(wanted), "{leases:?}");
        let ids: Result<Vec<Uuid>, _> = leases.iter().map(|lease| Uuid::try_parse(&lease.id)).collect();
        let ids = ids?;
        if self.model.leases.iter().any(|lease| ids.contains(&lease.id)) {
            return Ok(Outcome::Same(ids));
        }
        for ((id, lease), resource) in ids.into_iter().zip(leases).zip(resources) {
            ensure!((min..=min + more).contains(&lease.amount), "{lease:?}");
            self.model.leases.push(Lease {
                id,
                resource: *resource,
                amount: lease.amount,
                request,
                next: 0,
                committed: 0,
                spent: Default::default(),
                open: 0,
                living: true,
                expired: false,
            });
        }
        Ok(Outcome::Granted)
    }

    fn pick_living(&self, number: usize) -> Option<Lease> {
        let living: Vec<&Lease> = self.model.living().collect();
        pick(&living, number).map(|lease| (*lease).clone())
    }

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

    async fn charge(&mut self, number: usize, units: i64) -> anyhow::Result<()> {
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
    async fn end(&mut self, number: usize, how: &'static str) -> anyhow::Result<()> {
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

    async fn cheat(&mut self, number: usize, cheat: Cheat) -> anyhow::Result<()> {
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

    async fn settle(&mut self, number: usize) -> anyhow::Result<()> {
        let Some(lease) = pick(&self.model.leases, number).cloned() else {
            return Ok(());
        };
        let charged = self.voice.release(self.client, lease.id).await?;
        let (ends, what) = match (lease.living, lease.open) {
            (true, 0) => (true, "settle: ended"),
            (true, _) => (false, "settle: in use"),
            (false, _) => (false, "settle: gone"),
        };
        let right = if ends && !lease.expired {
            lease.committed
        } else {
            charged
        };
        ensure!(charged == right, "{charged} units were charged: {lease:?}");
        if ends {
            self.model.get(lease.id).living = false;
        }
        self.count(what);
        Ok(())
    }

    async fn release(&mut self, resource: usize, units: i64) -> anyhow::Result<()> {
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

    async fn expire(&mut self, number: usize) -> anyhow::Result<()> {
        let Some(lease) = self.pick_living(number) else {
            return Ok(());
        };
        self.model.get(lease.id).expired = true;
        let past =
            "update quota.reservations set expires_at = now() - interval '1 second' where client_id = $1 and id = $2";
        sqlx::query(past)
            .bind(self.client.uuid())
            .bind(lease.id)
            .execute(&self.world.behind)
            .await?;
        if lease.open == 0 {
            self.wait_until(|levels| !levels[lease.resource].leases.contains(&lease.id))
                .await?;
        }
        self.count("expire");
        Ok(())
    }

    /// Ends whatever is open; then exactly the rows are used.
    async fn rest(&mut self) -> anyhow::Result<()> {
        while !self.open.is_empty() {
            self.end(0, "abort").await?;
        }
        for number in 0..self.model.leases.len() {
            self.settle(number).await?;
        }
        self.wait_until(|levels| levels.iter().all(|level| level.released == 0))
            .await?;
        for (level, rows) in self.check(|_| false).await?.iter().zip(self.model.rows) {
            ensure!(
                (level.used, level.reserved, level.leases.len()) == (rows, 0, 0),
                "{rows} rows: {level:?}"
            );
        }
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
