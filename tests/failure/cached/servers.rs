//! Servers that cache: what a call reads is what was acknowledged before it began.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::lead::Lead;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, lead_named, scrape, values};

/// Redis tells changes at once; this much is granted to a machine that is busy.
const LONGEST_STALE: Duration = Duration::from_secs(2);
const UPDATES: u64 = 300;
const READERS: usize = 3;
const MOST_REQUESTS: i64 = 10_000_000;

fn version(lead: &Lead) -> u64 {
    lead.etag.parse().unwrap_or_default()
}

async fn members(world: &World) -> anyhow::Result<[Member; 2]> {
    let first = world.member("enterprise").await?;
    world.limit(first.id, "requests_per_minute", MOST_REQUESTS).await?;
    let second = Member::new(&world.stack, first.id, Role::Admin, 1)?;
    Ok([first, second])
}

/// Reads one lead again and again; returns how long an acknowledged version was missing at most.
async fn watch(
    member: Member,
    id: String,
    acknowledged: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
) -> anyhow::Result<(Duration, u64)> {
    let (mut stale_since, mut longest, mut reads) = (None::<Instant>, Duration::ZERO, 0);
    while !ended.load(Ordering::SeqCst) {
        let (expected, began) = (acknowledged.load(Ordering::SeqCst), Instant::now());
        let found = version(&member.get(&id).await?);
        reads += 1;
        if found >= expected {
            stale_since = None;
        } else {
            longest = longest.max(stale_since.get_or_insert(began).elapsed());
        }
        ensure!(
            longest < LONGEST_STALE,
            "version {found} was read {longest:?} after {expected} was acknowledged"
        );
    }
    Ok((longest, reads))
}

pub async fn replicas_that_race_read_what_was_acknowledged(world: Arc<World>) -> anyhow::Result<()> {
    let members = members(&world).await?;
    let mut lead = members[0].create(lead_named("ann")).await?;
    let (acknowledged, ended) = (
        Arc::new(AtomicU64::new(version(&lead))),
        Arc::new(AtomicBool::new(false)),
    );
    let readers: Vec<_> = (0..READERS)
        .flat_map(|_| members.clone())
        .map(|member| tokio::spawn(watch(member, lead.id.clone(), acknowledged.clone(), ended.clone())))
        .collect();
    for number in 0..UPDATES {
        let writer = &members[usize::from(number % 2 == 1)];
        let wish = Lead {
            first_name: format!("ann {number}"),
            etag: String::new(),
            ..lead.clone()
        };
        lead = writer.update(wish, &["first_name"]).await?;
        acknowledged.store(version(&lead), Ordering::SeqCst);
    }
    // The last one has to be seen too.
    for member in &members {
        let seen = async {
            while version(&member.get(&lead.id).await?) < version(&lead) {}
            anyhow::Ok(())
        };
        tokio::time::timeout(LONGEST_STALE, seen)
            .await
            .context("the last update is not seen")??;
    }
    ended.store(true, Ordering::SeqCst);
    let (mut longest, mut reads) = (Duration::ZERO, 0);
    for reader in readers {
        let (stale, read) = reader.await??;
        (longest, reads) = (longest.max(stale), reads + read);
    }
    ensure!(reads > UPDATES, "only {reads} reads");
    println!(
        "{UPDATES} updates, {reads} reads through two caches; the oldest value came {longest:?} after the next was acknowledged"
    );
    Ok(())
}

/// Drops updates, deletions and returns at every moment; whatever became of them, replicas read what the row is.
pub async fn dropped_writes_leave_no_old_value_behind(world: Arc<World>) -> anyhow::Result<()> {
    let members = members(&world).await?;
    let lead = members[0].create(lead_named("ann")).await?;
    let change = |step: u32| Lead {
        first_name: format!("ann {step}"),
        etag: String::new(),
        ..lead.clone()
    };
    // Drops are spread over the time that an update takes on this machine.
    members[0].update(change(0), &["first_name"]).await?;
    let began = Instant::now();
    members[0].update(change(1), &["first_name"]).await?;
    let usual = began.elapsed();
    let (mut dropped, mut unseen) = (0, 0);
    for step in 0..200_u32 {
        members[1].get(&lead.id).await?;
        let (began, patience) = (Instant::now(), usual * (step % 100) / 100);
        // Finer than timers, which count milliseconds.
        let impatient = async {
            while began.elapsed() < patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ended = members[0].update(change(step), &["first_name"]) => continue,
            () = impatient => {}
        }
        dropped += 1;
        let deadline = Instant::now() + LONGEST_STALE;
        loop {
            let row: i64 = sqlx::query_scalar("select version from lead.leads where client_id = $1 and id = $2::uuid")
                .bind(members[0].id.uuid())
                .bind(&lead.id)
                .fetch_one(&world.behind)
                .await?;
            let read = version(&members[1].get(&lead.id).await?);
            if read >= row.unsigned_abs() {
                break;
            }
            unseen += 1;
            ensure!(
                Instant::now() < deadline,
                "version {read} is read while the row has {row}, after drop {step}"
            );
        }
    }
    ensure!(dropped >= 50, "only {dropped} calls were dropped");
    println!("{dropped} updates dropped; {unseen} reads came before the word of a write");
    Ok(())
}

pub async fn without_redis_reads_are_right_and_caching_returns(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default().with("lead", 2)).await?;
    let members = members(&world).await?;
    let mut lead = members[0].create(lead_named("ann")).await?;
    members[1].get(&lead.id).await?;
    world.backing.redis().context("a private Redis")?.kill().await?;
    let wish = Lead {
        first_name: "bob".to_owned(),
        ..lead.clone()
    };
    lead = members[0].update(wish, &["first_name"]).await?;
    let deadline = Instant::now() + LONGEST_STALE;
    for member in &members {
        while member.get(&lead.id).await? != lead {
            ensure!(Instant::now() < deadline, "the old value is still read without Redis");
        }
    }
    world.backing.redis().context("a private Redis")?.restart().await?;
    let address = world.stack.server("lead", 1)?.metrics_address();
    let hits_of = async || {
        let page = scrape(&address).await?;
        let hits = values(&page, "onekeel_cache_reads_total", &["outcome=\"hit\""]);
        anyhow::Ok(hits.into_iter().sum::<f64>())
    };
    let before = hits_of().await?;
    let hits = async {
        loop {
            ensure!(members[1].get(&lead.id).await? == lead, "another value is read");
            if hits_of().await? > before {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), hits)
        .await
        .context("caching does not return")??;
    world.stop().await
}
