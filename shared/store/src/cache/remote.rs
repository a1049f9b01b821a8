//! The cache's half in Redis. It never fails: while Redis is away, it knows nothing and keeps nothing.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fred::prelude::*;
use fred::types::config::{PerformanceConfig, ReconnectPolicy};
use fred::types::scripts::Script;
use fred::types::{MultipleValues, RespVersion};
use onekeel_api::Fault;
use uuid::Uuid;

use super::near::{Near, Raw, Stamp};
use super::policy::Share;
use super::watch;

/// Longest time that a call waits for Redis; PostgreSQL would have answered by then.
const LONGEST_COMMAND: Duration = Duration::from_millis(100);
/// After a command that failed, nothing is asked for so long.
const PAUSE: Duration = Duration::from_millis(500);
const MOST_COMMANDS: usize = 10_000;
/// Changes that may wait to be heard; when there are more, everything near is forgotten. The places are made at once, for
/// several kinds of news.
const MOST_CHANGES: usize = 128;

/// Redis, and what it said a moment ago. Its futures are large, and most calls never need them: they are boxed.
pub(crate) struct Remote {
    redis: Client,
    pub near: Arc<Near>,
    began: Instant,
    /// Milliseconds since `began` until which nothing is asked.
    paused_until: AtomicU64,
    fill: Script,
    write: Script,
    invalidate: Script,
    fence: Script,
}

impl Remote {
    /// Connects in the background.
    pub fn connect(url: &str, near_bytes: u64) -> Result<Self, Fault> {
        // The error of the parser may quote the address, and the address holds a password.
        let mut config =
            Config::from_url(url).map_err(|_| Fault::internal("REDIS_URL is no redis:// or rediss:// address"))?;
        // Redis tells what changes on the connection that asked, which the older protocol cannot.
        config.version = RespVersion::RESP3;
        let performance = PerformanceConfig {
            default_command_timeout: LONGEST_COMMAND,
            broadcast_channel_capacity: MOST_CHANGES,
            ..PerformanceConfig::default()
        };
        let redis = Builder::from_config(config)
            .set_performance_config(performance)
            .set_policy(ReconnectPolicy::new_linear(0, 500, 50))
            .with_connection_config(|connection| {
                connection.max_command_buffer_len = MOST_COMMANDS;
                connection.max_command_attempts = 1;
            })
            .build()
            .map_err(Fault::internal)?;
        redis.connect();
        let near = Arc::new(Near::new(near_bytes));
        tokio::spawn(watch::listen(redis.clone(), Arc::downgrade(&near)));
        Ok(Self {
            redis,
            near,
            began: Instant::now(),
            paused_until: AtomicU64::new(0),
            fill: Script::from_lua(include_str!("fill.lua")),
            write: Script::from_lua(include_str!("write.lua")),
            invalidate: Script::from_lua(include_str!("invalidate.lua")),
            fence: Script::from_lua(include_str!("fence.lua")),
        })
    }

    /// Whether it is worth asking.
    pub fn is_up(&self) -> bool {
        self.redis.is_connected() && self.now() >= self.paused_until.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// What stands below two keys, if it is near.
    pub fn near(&self, keys: [&str; 2]) -> Option<[Raw; 2]> {
        let [first, second] = keys.map(|key| self.near.get(key));
        Some([first?, second?])
    }

    /// What stands below two keys, from near or from Redis; `None` when that is not known.
    pub async fn get(&self, keys: [&str; 2]) -> Option<[Raw; 2]> {
        match self.near(keys) {
            None => self.ask(keys).await,
            near => near,
        }
    }

    /// What Redis holds below two keys; `None` when that is not known.
    pub async fn ask(&self, keys: [&str; 2]) -> Option<[Raw; 2]> {
        if !self.is_up() {
            return None;
        }
        let began = keys.map(|key| self.near.stamp(key));
        let read: [Raw; 2] = self
            .said(Box::pin(self.redis.mget::<Vec<Raw>, _>(keys.to_vec())).await)?
            .try_into()
            .ok()?;
        for place in 0..keys.len() {
            self.near.keep(keys[place], &read[place], began[place]);
        }
        Some(read)
    }

    /// What Redis holds below a key at this moment, whatever is near.
    pub async fn now_at(&self, key: &str) -> Option<Raw> {
        if !self.is_up() {
            return None;
        }
        self.said(Box::pin(self.redis.get::<Raw, _>(key)).await)
    }

    /// What one key's next change is told by.
    pub fn stamp(&self, key: &str) -> Stamp {
        self.near.stamp(key)
    }

    /// Offers what a reader found; 1 when it was kept, 0 when it is outdated, 2 when the tenant has no room.
    pub async fn fill(
        &self,
        keys: [&str; 3],
        entry: Bytes,
        known: Raw,
        share: Share,
        name: &str,
        lives_on: bool,
    ) -> Option<i64> {
        let arguments: Vec<Value> = vec![
            entry.into(),
            known.unwrap_or_default().into(),
            milliseconds(share.ttl).into(),
            i64::from(share.entries).into(),
            name.into(),
            i64::from(lives_on).into(),
        ];
        self.run(&self.fill, keys.to_vec(), arguments).await
    }

    /// Tells what a writer has committed.
    pub async fn write(
        &self,
        keys: [&str; 3],
        entry: Bytes,
        ttl: Duration,
        floor: Duration,
        name: &str,
    ) -> Option<i64> {
        let arguments: Vec<Value> = vec![
            entry.into(),
            milliseconds(ttl).into(),
            milliseconds(floor).into(),
            name.into(),
        ];
        self.near.changed(keys[0]);
        let written = self.run(&self.write, keys.to_vec(), arguments).await;
        self.near.changed(keys[0]);
        written
    }

    /// Replaces what stands below a key.
    pub async fn set(&self, key: &str, raw: Bytes, ttl: Duration) -> Option<()> {
        if !self.is_up() {
            return None;
        }
        self.near.changed(key);
        let expires = Some(Expiration::PX(milliseconds(ttl)));
        let set = self.said(Box::pin(self.redis.set::<(), _, _>(key, raw, expires, None, false)).await);
        self.near.changed(key);
        set
    }

    /// Shuts out what readers have begun to read, and with `all` what is kept.
    pub async fn fence(&self, generation: &str, all: bool, ttl: Duration) -> Option<()> {
        let new = Bytes::copy_from_slice(Uuid::now_v7().as_bytes());
        let scope = if all { "all" } else { "some" };
        let arguments: Vec<Value> = vec![new.into(), scope.into(), milliseconds(ttl).into()];
        self.near.changed(generation);
        let fenced = self.run::<i64>(&self.fence, vec![generation], arguments).await;
        self.near.changed(generation);
        fenced.map(|_| ())
    }

    /// Drops a page of entries; returns the next cursor and how many were dropped.
    pub async fn invalidate(&self, index: &str, cursor: String, pattern: &str, prefix: &str) -> Option<(String, u64)> {
        let arguments = vec![cursor, pattern.to_owned(), prefix.to_owned()];
        self.run(&self.invalidate, vec![index], arguments).await
    }

    async fn run<R: FromValue>(
        &self,
        script: &Script,
        keys: Vec<&str>,
        arguments: impl TryInto<MultipleValues, Error: Into<Error> + Send> + Send,
    ) -> Option<R> {
        if !self.is_up() {
            return None;
        }
        self.said(Box::pin(script.evalsha_with_reload(&self.redis, keys, arguments)).await)
    }

    fn said<R>(&self, answer: Result<R, Error>) -> Option<R> {
        let error = match answer {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let until = self.now() + u64::try_from(PAUSE.as_millis()).unwrap_or_default();
        self.paused_until.store(until, Ordering::Relaxed);
        metrics::counter!("onekeel_cache_failures_total").increment(1);
        tracing::debug!(error.kind = ?error.kind(), "redis did not answer the cache");
        None
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
