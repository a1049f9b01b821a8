//! The cache itself, with two doors as two replicas have them.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fred::prelude::*;
use onekeel_api::lead::Lead;
use onekeel_api::{ClientId, Fault};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_store::{CacheConfig, Held, Kind, Store, StoreConfig, TenantTx};
use onekeel_tenancy::Tenant;
use onekeel_tests::World;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

const KIND: Kind<Lead> = Kind::new("test", |lead| lead.etag.parse().unwrap_or_default());
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const LONGEST_TELLING: Duration = Duration::from_secs(1);
/// What is near is believed for 2 s; the rest is for a machine that is busy.
const LONGEST_BELIEF: Duration = Duration::from_secs(3);

async fn door(world: &World, policy: &str) -> anyhow::Result<Store> {
    let config = StoreConfig {
        url: world.stack.database.url_for("lead")?,
        max_connections: 2,
        application: "cache".to_owned(),
        cache: Some(CacheConfig {
            url: world.backing.redis_url.clone(),
            near_bytes: 1 << 20,
            policy: policy.parse().map_err(anyhow::Error::msg)?,
        }),
    };
    let door = Store::connect(config).await?;
    let (tenant, lead) = (stranger(), version(1));
    let connected = async {
        // It listens when something stays near.
        while door.cache().near_bytes() == 0 {
            door.cache().set(&tenant, &KIND, "connected", &lead, LONGEST_WAIT).await;
            door.cache().get(&tenant, &KIND, "connected").await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONGEST_WAIT, connected).await?;
    Ok(door)
}

#[expect(clippy::disallowed_methods, reason = "the cache is tested below the verifier")]
fn stranger() -> Tenant {
    Tenant::for_background(ClientId::new_v7(), "test")
}

fn version(number: u64) -> Lead {
    Lead {
        first_name: format!("version {number}"),
        etag: number.to_string(),
        ..Lead::default()
    }
}

/// Commits a transaction that says it has written `lead`, or deleted what was there.
async fn commit(store: &Store, tenant: &Tenant, key: &str, number: u64, lead: Option<Lead>) -> Result<(), Fault> {
    let write = async |tx: &mut TenantTx| {
        tx.changed(&KIND, key, number, lead.as_ref());
        Ok(())
    };
    store.run(tenant, "write", write).await
}

async fn read(store: &Store, tenant: &Tenant, key: &str, found: Option<Lead>) -> Result<Option<Lead>, Fault> {
    store.cache().read(tenant, &KIND, key, async || Ok(found)).await
}

/// Reads until it is kept: from the second time on, unless Redis does not answer in time.
async fn keep(store: &Store, tenant: &Tenant, key: &str, found: &Lead) -> anyhow::Result<()> {
    let kept = async {
        loop {
            read(store, tenant, key, Some(found.clone())).await?;
            if store.cache().get(tenant, &KIND, key).await == Held::Value(found.clone()) {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(LONGEST_WAIT, kept).await?
}

/// Tries until it holds: a cache that had no answer of Redis within 100 ms keeps nothing, and asks for nothing for a while; and
/// what is near may be older than what was just kept, until Redis has told.
async fn at_last(what: &'static str, mut holds: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let tries = async {
        while !holds().await? {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    tokio::time::timeout(LONGEST_WAIT, tries).await.context(what)?
}

/// Whether the first version is kept, as soon as Redis answers.
async fn is_kept(door: &Store, tenant: &Tenant, key: &str) -> anyhow::Result<()> {
    at_last("it is not kept, or no more", async || {
        Ok(door.cache().get(tenant, &KIND, key).await == Held::Value(version(1)))
    })
    .await
}

/// Waits until the door has nothing of what was invalidated: what is near goes when Redis has told.
async fn gone(door: &Store, tenant: &Tenant, key: &str) -> anyhow::Result<()> {
    let gone = async {
        while door.cache().get(tenant, &KIND, key).await != Held::Nothing {
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(LONGEST_TELLING, gone).await;
    told.context("what was invalidated is still believed")
}

/// Reads as a replica does that is slow between its look at the database and its word to the cache: `meanwhile` happens.
async fn read_slowly<T>(
    store: &Store,
    tenant: &Tenant,
    found: Option<Lead>,
    meanwhile: impl Future<Output = T>,
) -> anyhow::Result<T> {
    let (looked, go_on) = (Notify::new(), Notify::new());
    let slow = store.cache().read(tenant, &KIND, "a", async || {
        looked.notify_one();
        go_on.notified().await;
        Ok(found)
    });
    let other = async {
        looked.notified().await;
        let done = meanwhile.await;
        go_on.notify_one();
        done
    };
    let both = async { tokio::join!(slow, other) };
    let (slow, done) = tokio::time::timeout(LONGEST_WAIT, both)
        .await
        .context("what is known already is not looked for")?;
    slow?;
    Ok(done)
}

pub async fn a_slow_reader_never_puts_an_old_value_back(world: Arc<World>) -> anyhow::Result<()> {
    let (ours, theirs) = (door(&world, "*=100x30").await?, door(&world, "*=100x30").await?);
    // A new value, and none, over one that others had read, and over one that nobody had.
    for (known, newer) in [
        (true, Some(version(2))),
        (true, None),
        (false, Some(version(2))),
        (false, None),
    ] {
        let tenant = stranger();
        if known {
            keep(&ours, &tenant, "a", &version(1)).await?;
            is_kept(&theirs, &tenant, "a").await?;
            theirs.cache().invalidate(&tenant, "test:*").await?;
            gone(&ours, &tenant, "a").await?;
        } else {
            // Who asks for the first time keeps nothing.
            ensure!(read(&ours, &tenant, "a", None).await?.is_none(), "it is there");
        }
        let write = commit(&theirs, &tenant, "a", 2, newer.clone());
        Box::pin(read_slowly(&ours, &tenant, Some(version(1)), write)).await??;
        for door in [&ours, &theirs] {
            let held = door.cache().get(&tenant, &KIND, "a").await;
            ensure!(
                held != Held::Value(version(1)),
                "the old value is back over {newer:?} (known before: {known})"
            );
            ensure!(
                read(door, &tenant, "a", newer.clone()).await? == newer,
                "not what was written"
            );
        }
    }
    Ok(())
}

pub async fn what_is_asked_for_twice_is_kept(world: Arc<World>) -> anyhow::Result<()> {
    let (ours, theirs) = (door(&world, "*=100x30").await?, door(&world, "*=100x30").await?);
    at_last("what is asked for twice is not kept", async || {
        // Of its own for each try: what was kept in vain takes room.
        let (tenant, key) = (stranger(), Uuid::new_v4().to_string());
        let mut seen = Vec::new();
        for number in 1..=3 {
            seen.push(read(&ours, &tenant, &key, Some(version(number))).await?);
            seen.push(match theirs.cache().get(&tenant, &KIND, &key).await {
                Held::Value(lead) => Some(lead),
                Held::Absent | Held::Nothing => None,
            });
        }
        let (one, two) = (Some(version(1)), Some(version(2)));
        // Whatever Redis does, what is asked for once is not kept.
        ensure!(seen[..3] == [one, None, two.clone()], "{seen:?}");
        Ok(seen[3..] == [two.clone(), two.clone(), two])
    })
    .await
}

/// What is set again in the same version lives as long as if it were new.
pub async fn what_is_set_again_lives_on(world: Arc<World>) -> anyhow::Result<()> {
    // It does not end while it is tried.
    const SHORT: Duration = Duration::from_secs(60);
    let door = door(&world, "*=100x300").await?;
    let redis = Builder::from_config(Config::from_url(&world.backing.redis_url)?).build()?;
    redis.init().await?;
    let tenant = stranger();
    let entry = format!("onekeel:{{{}}}:test:one", tenant.id());
    let set = async |number| {
        door.cache()
            .set(&tenant, &KIND, "one", &version(number), 2 * SHORT)
            .await
    };
    let lives_short = async || anyhow::Ok(redis.pttl::<u128, _>(&entry).await? <= SHORT.as_millis());
    at_last("it is not kept", async || Ok(set(2).await)).await?;
    ensure!(!lives_short().await?, "as long as was asked for");
    let _shortened: i64 = redis.pexpire(&entry, i64::try_from(SHORT.as_millis())?, None).await?;
    ensure!(!set(1).await && lives_short().await?, "an older version");
    at_last("it is not kept again", async || Ok(set(2).await)).await?;
    ensure!(!lives_short().await?, "it does not live on");
    redis.quit().await?;
    Ok(())
}

pub async fn what_is_invalidated_stays_away(world: Arc<World>) -> anyhow::Result<()> {
    let (ours, theirs) = (door(&world, "*=100x30").await?, door(&world, "*=100x30").await?);
    let (tenant, other) = (stranger(), stranger());
    for tenant in [&tenant, &other] {
        for key in ["a", "ab", "b"] {
            keep(&ours, tenant, key, &version(1)).await?;
        }
    }
    ensure!(
        theirs.cache().invalidate(&tenant, "test:a*").await? == 2,
        "not two entries"
    );
    gone(&ours, &tenant, "a").await?;
    // What the pattern does not say stays.
    is_kept(&theirs, &tenant, "b").await?;
    for all in [false, true] {
        let drop_it = async {
            if all {
                theirs.cache().invalidate_all(&tenant).await
            } else {
                theirs.cache().invalidate(&tenant, "*").await.map(drop)
            }
        };
        Box::pin(read_slowly(&ours, &tenant, Some(version(1)), drop_it)).await??;
        for door in [&ours, &theirs] {
            for key in ["a", "b"] {
                gone(door, &tenant, key).await?;
            }
        }
        ensure!(
            read(&ours, &tenant, "b", Some(version(1))).await?.is_some(),
            "it is read again"
        );
    }
    // And what is another tenant's.
    is_kept(&theirs, &other, "a").await
}

pub async fn a_tenant_keeps_no_more_than_its_share(world: Arc<World>) -> anyhow::Result<()> {
    let door = door(&world, "*=10x30").await?;
    let (full, other) = (stranger(), stranger());
    let set = async |tenant: &Tenant, key: &str| door.cache().set(tenant, &KIND, key, &version(1), LONGEST_WAIT).await;
    for number in 0..30 {
        // Another tenant's entry says whether Redis answers.
        at_last("Redis does not answer", async || {
            Ok(set(&full, &number.to_string()).await || set(&stranger(), "a").await)
        })
        .await?;
    }
    at_last("less than a share was kept", async || {
        let mut kept = 0;
        for number in 0..30 {
            kept += usize::from(door.cache().get(&full, &KIND, &number.to_string()).await != Held::Nothing);
        }
        ensure!(kept <= 10, "{kept} entries were kept");
        Ok(kept == 10)
    })
    .await?;
    at_last("another tenant has no room", async || Ok(set(&other, "a").await)).await?;
    // Whatever its version, what is there is not kept as if it were not.
    at_last("a value without a version was kept as none", async || {
        let (tenant, key) = (stranger(), Uuid::new_v4().to_string());
        read(&door, &tenant, &key, Some(version(0))).await?;
        let first = read(&door, &tenant, &key, Some(version(0))).await?;
        Ok(first == read(&door, &tenant, &key, None).await?)
    })
    .await?;
    ensure!(
        read(&door, &full, "29", Some(version(3))).await? == Some(version(3)),
        "reading goes on"
    );
    Ok(())
}

pub async fn many_who_ask_at_once_read_once(world: Arc<World>) -> anyhow::Result<()> {
    let door = door(&world, "*=100x30").await?;
    // Without an answer of Redis each reads for itself. Who saw nothing a moment before the value came, and asks a moment
    // after, reads once more.
    at_last("64 who ask at once read more than four times", async || {
        Ok(reads_of_many(&door).await? <= 4)
    })
    .await
}

/// Redis says in a word of its own that everything is gone, which is not understood.
pub async fn a_redis_that_is_flushed_is_noticed(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default()).await?;
    let (door, tenant) = (door(&world, "*=100x30").await?, stranger());
    keep(&door, &tenant, "a", &version(1)).await?;
    let redis = world.backing.redis().context("a private Redis")?;
    redis.tell("FLUSHALL").await?;
    let flushed = Instant::now();
    while door.cache().get(&tenant, &KIND, "a").await != Held::Nothing {
        ensure!(
            flushed.elapsed() < LONGEST_BELIEF,
            "what is gone is believed for {:?}",
            flushed.elapsed()
        );
        tokio::task::yield_now().await;
    }
    println!("what was flushed was believed for {:.2?}", flushed.elapsed());
    keep(&door, &tenant, "a", &version(1)).await?;
    world.stop().await
}

/// How often is read when 64 ask for the same.
async fn reads_of_many(door: &Store) -> anyhow::Result<usize> {
    let tenant = stranger();
    // Who asks for the first time asks nobody but the database.
    read(door, &tenant, "a", None).await?;
    let (reads, go_on) = (AtomicUsize::new(0), Semaphore::new(0));
    let all = (0..64).map(|_| {
        door.cache().read(&tenant, &KIND, "a", async || {
            reads.fetch_add(1, Ordering::SeqCst);
            let _open = go_on.acquire().await;
            Ok(Some(version(1)))
        })
    });
    let all = futures_util::future::join_all(all);
    let release = async {
        while reads.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        go_on.add_permits(64);
    };
    let (found, ()) = tokio::time::timeout(LONGEST_WAIT, async { tokio::join!(all, release) }).await?;
    ensure!(
        found
            .into_iter()
            .all(|found| found.is_ok_and(|lead| lead == Some(version(1)))),
        "not all have it"
    );
    Ok(reads.load(Ordering::SeqCst))
}
