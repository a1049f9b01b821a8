//! A tenant's cache: near in this process, and in Redis for all replicas.
//!
//! Redis holds an entry below `onekeel:{<client_id>}:<kind>:<key>`, all of one tenant in one slot. Readers fill it, writers
//! tell it what they have committed ([`TenantTx::changed`](crate::TenantTx::changed)), and Redis tells every process that
//! has read a key when it changes. How old can a value be that is read after a write was acknowledged?
//!
//! - as a rule, as old as the message that Redis pushes takes;
//! - 2 s, when the path between Redis and this process died without a word, or somebody flushed Redis;
//! - the ttl of the tenant's plan, when the writer could not reach Redis or died between its COMMIT and its word.
//!
//! A slow reader never puts an old value over a newer one: entries carry the row's version, and a writer leaves the version
//! behind also where it leaves no value. A writer whose COMMIT nobody knows the end of leaves a doubt, under which nothing
//! is kept. Without Redis, reads go to PostgreSQL and nothing fails.
mod asked;
mod change;
mod entry;
mod flights;
mod names;
mod near;
mod policy;
mod read;
mod remote;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onekeel_api::Fault;
use onekeel_tenancy::Tenant;
use prost::Message;

pub(crate) use change::Change;
pub use policy::CachePolicy;
pub use read::Held;

use asked::Asked;
use flights::Flights;
use names::Names;
use policy::Share;
use remote::Remote;

/// Longer than any statement runs: within this time, a reader may still hold what was true before a write.
pub(crate) const SLOWEST_READER: Duration = Duration::from_secs(35);
/// Longer than any entry lives.
const GENERATION_TTL: Duration = Duration::from_secs(3600);
const MOST_PAGES: u32 = 10_000;

/// Where the cache is and how much it may hold.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// `redis://…` or `rediss://…`.
    pub url: String,
    /// Most bytes that this process holds itself.
    pub near_bytes: u64,
    /// What a tenant may hold in Redis.
    pub policy: CachePolicy,
}

/// What is cached: a message of the contract, under a name of its own, with a version that grows with each change.
#[derive(Debug)]
pub struct Kind<T> {
    name: &'static str,
    version: fn(&T) -> u64,
    /// Where it is none of the tenant's share: how long it is kept.
    own_ttl: Option<Duration>,
}

impl<T: Message + Default> Kind<T> {
    /// A kind; `name` stands in keys, `version` reads the version of a value.
    pub const fn new(name: &'static str, version: fn(&T) -> u64) -> Self {
        Self {
            name,
            version,
            own_ttl: None,
        }
    }

    /// What the servers keep of a tenant for themselves, for `ttl`, whatever the tenant's plan gives it.
    #[must_use]
    pub const fn kept_for(self, ttl: Duration) -> Self {
        Self {
            own_ttl: Some(ttl),
            ..self
        }
    }

    /// How many entries there may be beside a new one, and how long that is kept.
    fn share(&self, policy: &CachePolicy) -> Share {
        let own = self.own_ttl.map(|ttl| Share { entries: u32::MAX, ttl });
        own.unwrap_or_else(|| policy.share())
    }
}

/// The door to the cache. Clones share one connection.
#[derive(Clone, Default)]
pub struct Cache(Option<Arc<Inner>>);

struct Inner {
    remote: Remote,
    policy: CachePolicy,
    flights: Flights,
    asked: Asked,
}

impl Cache {
    /// Connects in the background.
    ///
    /// # Errors
    /// `INTERNAL` when the address is none.
    pub fn connect(config: CacheConfig) -> Result<Self, Fault> {
        Ok(Self(Some(Arc::new(Inner {
            remote: Remote::connect(&config.url, config.near_bytes)?,
            policy: config.policy,
            flights: Flights::default(),
            asked: Asked::default(),
        }))))
    }

    /// Drops the tenant's entries whose `<kind>:<key>` matches `pattern`, a glob as Redis has them, page by page. What
    /// readers have begun to read before is not kept either.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer; entries end with their ttl then.
    pub async fn invalidate(&self, tenant: &Tenant, pattern: &str) -> Result<u64, Fault> {
        let Some(inner) = &self.0 else { return Ok(0) };
        let names = Names::of_tenant(tenant.id());
        inner.fence(&names, false).await?;
        let (mut cursor, mut dropped) = ("0".to_owned(), 0);
        for _ in 0..MOST_PAGES {
            let page = inner
                .remote
                .invalidate(&names.index, cursor, pattern, &names.prefix)
                .await;
            let (next, some) = page.ok_or_else(away)?;
            dropped += some;
            if next == "0" {
                return Ok(dropped);
            }
            cursor = next;
        }
        self.invalidate_all(tenant).await.map(|()| dropped)
    }

    /// Makes everything worthless that is kept for the tenant, in one step.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer; entries end with their ttl then.
    pub async fn invalidate_all(&self, tenant: &Tenant) -> Result<(), Fault> {
        match &self.0 {
            Some(inner) => inner.fence(&Names::of_tenant(tenant.id()), true).await,
            None => Ok(()),
        }
    }

    /// What stands below a key that is none of a tenant's, at this moment. Not from near: nobody would tell in time that it has
    /// ended.
    pub(crate) async fn raw_place(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        let Some(inner) = &self.0 else { return Ok(None) };
        inner.remote.now_at(key).await.ok_or_else(away)
    }

    /// Lets it stand there.
    pub(crate) async fn set_raw_place(&self, key: &str, raw: Bytes, ttl: Duration) -> Result<(), Fault> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.remote.set(key, raw, ttl).await.ok_or_else(away)
    }

    /// Bytes that this process holds itself; for metrics.
    pub fn near_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.remote.near.weight())
    }
}

impl Inner {
    async fn fence(&self, names: &Names, all: bool) -> Result<(), Fault> {
        let fenced = self.remote.fence(&names.generation, all, GENERATION_TTL).await;
        fenced.ok_or_else(away)
    }
}

fn away() -> Fault {
    Fault::unavailable("the cache is not reachable; try again")
}
