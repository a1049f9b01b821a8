//! Does each step in earnest, and compares what came of it with the model.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use onekeel_api::quota::{Lease as Granted, ReserveItem, ReserveRequest, Resource};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_tests::{Voice, World};
use sqlx::PgConnection;
use tonic::Status;
use uuid::Uuid;

use super::Counts;
use super::ledger::{Level, compare, read};
use super::model::{Lease, Model, Outcome};
use super::steps::{RESOURCES, Step};
use super::transactions::Open;

const CAPS: [i64; 2] = [5, 7];
/// For a wish that must be decided, and for one that nobody can decide.
const PATIENCE: Duration = Duration::from_secs(20);
const IMPATIENCE: Duration = Duration::from_millis(150);
pub const LONGEST_SWEEP: Duration = Duration::from_secs(20);

/// One tenant on its way through a sequence.
pub struct Driver<'a> {
    pub world: &'a mut World,
    counts: &'a RefCell<Counts>,
    pub client: ClientId,
    voice: Voice,
    pub model: Model,
    pub open: Vec<Open>,
    /// Connections that no transaction uses.
    pub idle: Vec<PgConnection>,
    requests: [Uuid; 3],
}

pub fn pick<T>(list: &[T], number: usize) -> Option<&T> {
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

    pub fn count(&self, what: &'static str) {
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

    pub async fn wait_until(&self, holds: impl Fn(&[Level]) -> bool) -> anyhow::Result<()> {
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
        let settled = self.model.outcome(resources, min);
        let known = request.and_then(|request| self.model.known(request, resources));
        // What a request id got is its answer, however little room there is.
        let expected = known.unwrap_or(settled);
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
        wish.set_timeout(if expected == Outcome::InUse {
            IMPATIENCE
        } else {
            PATIENCE
        });
        let answer = self.voice.reserve(wish).await;
        let came = self.learn(&answer, request, resources, min, more)?;
        ensure!(came == expected, "{came:?} instead of {expected:?}: {answer:?}");
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
                spent: BTreeSet::new(),
                open: 0,
                living: true,
                expired: false,
            });
        }
        Ok(Outcome::Granted)
    }

    pub fn pick_living(&self, number: usize) -> Option<Lease> {
        let living: Vec<&Lease> = self.model.living().collect();
        pick(&living, number).map(|lease| (*lease).clone())
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
