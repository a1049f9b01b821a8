//! Everything at once: callers on twenty tenants, kills, a hostile sweeper, cheats, and somebody who watches.

mod accounts;
mod killer;
mod seed;
mod spender;
mod summary;
mod sweeper;
mod tenants;
mod told;
mod watcher;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, Voice, World, summarise};
use rand::RngExt;
use tokio::task::{JoinHandle, JoinSet};

use killer::Killer;
use seed::Seed;
use spender::{Spender, Spent};
use summary::Summary;
use sweeper::{Sweeper, Swept};
use tenants::Subject;
use told::Told;
use writer::Writer;

const STORM: Duration = Duration::from_secs(60);
/// Milliseconds between two kills.
const BETWEEN_KILLS: std::ops::Range<u64> = 150..450;
/// How long a database without its fence may look right.
const LONGEST_LUCK: Duration = Duration::from_secs(20);
const WRITERS_A_TENANT: usize = 2;

/// Everybody but the killer.
struct Actors {
    enough: Arc<AtomicBool>,
    writers: JoinSet<anyhow::Result<Told>>,
    sweeper: JoinHandle<anyhow::Result<Swept>>,
    spender: Option<JoinHandle<anyhow::Result<Spent>>>,
    watcher: JoinHandle<anyhow::Result<(usize, Option<String>)>>,
}

/// How fast they are, and whether somebody cheats.
struct Paces {
    /// Milliseconds between two calls of a writer at most.
    writers: u64,
    sweeper: Duration,
    cheats: bool,
}

impl Actors {
    fn start(world: &World, seed: Seed, subjects: &[Subject], paces: &Paces) -> anyhow::Result<Self> {
        let enough = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for number in 0..subjects.len() * WRITERS_A_TENANT {
            let writer = Writer {
                name: format!("writer{number}"),
                member: Member::new(
                    &world.stack,
                    subjects[number / WRITERS_A_TENANT].id,
                    Role::Admin,
                    number % 2,
                )?,
                rng: seed.of("writer", number),
                pace: paces.writers,
                told: Told::default(),
            };
            writers.spawn(writer.run(enough.clone()));
        }
        let sweeper = Sweeper {
            behind: world.behind.clone(),
            voices: vec![Voice::new(&world.stack, 0)?, Voice::new(&world.stack, 1)?],
            rng: seed.of("sweeper", 0),
            pace: paces.sweeper,
        };
        let spender = Spender {
            behind: world.behind.clone(),
            login: world.stack.database.url_for("lead")?,
            rng: seed.of("spender", 0),
        };
        Ok(Self {
            sweeper: tokio::spawn(sweeper.run(enough.clone())),
            spender: paces.cheats.then(|| tokio::spawn(spender.run(enough.clone()))),
            watcher: tokio::spawn(watcher::watch(world.behind.clone(), enough.clone())),
            writers,
            enough,
        })
    }

    /// Whether somebody has given up, which only happens when something is wrong.
    fn has_ended(&mut self) -> Option<anyhow::Error> {
        if let Some(ended) = self.writers.try_join_next() {
            return ended.map_err(Into::into).and_then(|told| told).err();
        }
        let cheating = self.spender.as_ref().is_none_or(|spender| !spender.is_finished());
        let over = !cheating || self.sweeper.is_finished() || self.watcher.is_finished();
        over.then(|| anyhow::anyhow!("the sweeper, the spender or the watcher ended early"))
    }

    /// What the watcher saw goes before all else: others may have failed by it.
    async fn stop(mut self) -> anyhow::Result<(Told, Swept, Spent, usize)> {
        self.enough.store(true, Ordering::Release);
        let (looks, violation) = self.watcher.await?.context("the watcher")?;
        ensure!(violation.is_none(), "{}", violation.unwrap_or_default());
        let mut told = Told::default();
        while let Some(one) = self.writers.join_next().await {
            told.add(one??);
        }
        let mut spent = match self.spender {
            Some(spender) => spender.await?.context("the spender")?,
            None => Spent::default(),
        };
        told.add(std::mem::take(&mut spent.told));
        let swept = self.sweeper.await?.context("the sweeper")?;
        Ok((told, swept, spent, looks))
    }
}

fn two_of_each() -> Plan {
    Plan::default().with("lead", 2).with("quota", 2)
}

pub async fn no_limit_is_exceeded_and_nothing_is_lost_in_a_storm(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let seed = Seed::choose()?;
    println!("the storm begins with {seed}");
    let mut world = World::on(Backing::start_private().await?, &two_of_each()).await?;
    let summary = storm(&mut world, seed).await.with_context(|| seed.to_string())?;
    summarise(&summary.to_string())?;
    summary.is_a_storm()?;
    world.stop().await
}

async fn storm(world: &mut World, seed: Seed) -> anyhow::Result<Summary> {
    let subjects = tenants::make(world, tenants::twenty()).await?;
    let paces = Paces {
        writers: 120,
        sweeper: Duration::from_millis(40),
        cheats: true,
    };
    let mut actors = Actors::start(world, seed, &subjects, &paces)?;
    let (began, mut killer, mut rng) = (Instant::now(), Killer::new(seed.of("killer", 0)), seed.of("pause", 0));
    while began.elapsed() < STORM {
        tokio::time::sleep(Duration::from_millis(rng.random_range(BETWEEN_KILLS))).await;
        killer.kill(world).await?;
        if let Some(error) = actors.has_ended() {
            actors.stop().await.with_context(|| format!("{error:?}"))?;
            return Err(error);
        }
    }
    let seconds = began.elapsed().as_secs();
    let (told, swept, spent, looks) = actors.stop().await?;
    let rows = accounts::are_settled(world, &subjects).await?;
    accounts::keep_what_was_told(&world.behind, &told).await?;
    accounts::knew_no_deadlock(world).await?;
    Ok(Summary {
        seed,
        seconds,
        kills: killer.kills,
        unknown_commits: accounts::count_logged(world, "the outcome of a commit is not known")?,
        fenced: accounts::count_logged(world, "a charge was fenced")?,
        told,
        spent,
        swept,
        looks,
        rows,
    })
}

/// The storm can see: without the fence, a sweeper and writers at the limit are enough for a row too many.
pub async fn without_the_foreign_key_the_storm_finds_a_row_too_many(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let seed = Seed::choose()?;
    println!("a storm without its fence begins with {seed}");
    let world = World::start(&two_of_each()).await?;
    sqlx::query("alter table quota.charges drop constraint charges_reservation_fkey")
        .execute(&world.behind)
        .await?;
    let subjects = tenants::make(&world, [Some(20); 4]).await?;
    let paces = Paces {
        writers: 5,
        sweeper: Duration::from_millis(2),
        cheats: false,
    };
    let began = Instant::now();
    let actors = Actors::start(&world, seed, &subjects, &paces)?;
    let finding = async {
        let found = actors.watcher.await?.context("the watcher")?;
        anyhow::Ok(found.1)
    };
    let found = tokio::time::timeout(LONGEST_LUCK, finding).await;
    actors.enough.store(true, Ordering::Release);
    let found = found.ok().transpose()?.flatten();
    let found = found.with_context(|| format!("{seed}: nothing was found in {LONGEST_LUCK:?}"))?;
    summarise(&format!(
        "a storm without charges_reservation_fkey was found out after {:.1?}: {found}",
        began.elapsed()
    ))?;
    world.stop().await
}
