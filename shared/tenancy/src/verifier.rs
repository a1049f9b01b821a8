//! From a bearer token to a caller, or to the one answer for every bad token.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{decode, get_current_timestamp};
use metrics::Counter;
use onekeel_api::Fault;
use quick_cache::sync::Cache;
use serde_json::Value;
use tokio::sync::Notify;

use crate::claims::{LONGEST_API_KEY_LIFE, Said};
use crate::header::{Header, Kind};
use crate::refusal::{Refusal, refused};
use crate::ring::{Held, KeyRing, LEEWAY_SECONDS, RESERVED};
use crate::{Caller, KeyError, TokenRules, Trust, TrustedKey, publish};

const LONGEST_TOKEN: usize = 8 * 1024;
const CACHED_TOKENS: usize = 20_000;
/// However the clock is set meanwhile.
const LONGEST_CACHED: Duration = Duration::from_secs(600);

/// Held, since every call counts here.
static HITS: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("onekeel_token_cache_total", "outcome" => "hit"));
static MISSES: LazyLock<Counter> =
    LazyLock::new(|| metrics::counter!("onekeel_token_cache_total", "outcome" => "miss"));

/// Verifies tokens; clones of a server share one by `Arc`. Its keys may be exchanged at any time.
pub struct Verifier {
    rules: TokenRules,
    ring: ArcSwap<KeyRing>,
    /// That of the ring in use: what an earlier one has verified is verified again.
    epoch: AtomicU64,
    /// Held while keys are exchanged.
    exchange: Mutex<()>,
    unknown: Notify,
    cache: Cache<[u8; 32], Cached>,
}

#[derive(Clone)]
struct Cached {
    caller: Caller,
    /// The last second in which it counts, since 1970.
    expires: u64,
    until: Instant,
    epoch: u64,
}

impl Cached {
    /// Whether it would be verified again. Asks the clock of the day as well, since the other one stands still while a machine
    /// is suspended.
    fn counts(&self, now: Instant, today: u64, epoch: u64) -> bool {
        now < self.until && today <= self.expires && epoch == self.epoch
    }
}

impl Verifier {
    /// Refuses a configuration without any key for users.
    pub fn new(rules: TokenRules, keys: Vec<TrustedKey>) -> Result<Self, KeyError> {
        rules.names.check()?;
        if !keys.iter().any(|(_, trust)| matches!(trust, Trust::Users { .. })) {
            return Err(KeyError("no key verifies users' tokens".to_owned()));
        }
        if rules.issuer.is_empty() || rules.audience.is_empty() {
            return Err(KeyError("issuer and audience of users' tokens are required".to_owned()));
        }
        if rules.issuer.starts_with(RESERVED) {
            return Err(KeyError(format!("only services' own issuers begin with {RESERVED}")));
        }
        let ring = KeyRing::new(&rules, keys, 0)?;
        Ok(Self {
            rules,
            ring: ArcSwap::from_pointee(ring),
            epoch: AtomicU64::new(0),
            exchange: Mutex::default(),
            unknown: Notify::new(),
            cache: Cache::new(CACHED_TOKENS),
        })
    }

    /// Exchanges all keys at once. On an error the old ones stay. When one of them is gone, no token counts any more
    /// that it has verified, however it is cached.
    pub fn replace(&self, keys: Vec<TrustedKey>) -> Result<(), KeyError> {
        let _alone = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.ring.load_full();
        let mut ring = KeyRing::new(&self.rules, keys, old.epoch)?;
        if ring.lacks_any_of(&old) {
            ring.epoch += 1;
        }
        let epoch = ring.epoch;
        self.ring.store(Arc::new(ring));
        self.epoch.store(epoch, Ordering::Release);
        Ok(())
    }

    /// Waits until a token names a key that nobody here knows: a moment to look for new keys. Those who call do not wait
    /// for that.
    pub async fn unknown_key(&self) {
        self.unknown.notified().await;
    }

    /// Whether tokens may name this key.
    pub fn knows(&self, kid: &str) -> bool {
        self.ring.load().knows(kid)
    }

    /// The public keys of tokens that are given for API keys, as a key set for others who verify them.
    pub fn published(&self) -> Result<Value, KeyError> {
        publish(self.ring.load().that_sign_for_api_keys())
    }

    /// How many keys verify users' tokens, and how many services'.
    pub fn keys(&self) -> [usize; 2] {
        self.ring.load().counts()
    }

    /// The caller that `token` proves. Every bad token gets the same fault; why is not told.
    pub fn verify(&self, token: &str) -> Result<Caller, Fault> {
        self.verify_at(token, Instant::now())
    }

    /// The same, where it was read a moment ago what time it is.
    pub(crate) fn verify_at(&self, token: &str, now: Instant) -> Result<Caller, Fault> {
        if token.len() > LONGEST_TOKEN {
            return Err(refused(Refusal::Size));
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let epoch = || self.epoch.load(Ordering::Acquire);
        let counts = |cached: &Cached| cached.counts(now, get_current_timestamp(), epoch());
        if let Some(cached) = self.cache.get(&key).filter(counts) {
            HITS.increment(1);
            return Ok(cached.caller);
        }
        MISSES.increment(1);
        let ring = self.ring.load_full();
        let (caller, expires) = self.verify_afresh(&ring, token).map_err(refused)?;
        let cached = Cached {
            caller: caller.clone(),
            expires: expires + LEEWAY_SECONDS,
            until: now + LONGEST_CACHED,
            // Of the keys that were asked, not of those that may have come since.
            epoch: ring.epoch,
        };
        self.cache.insert(key, cached);
        Ok(caller)
    }

    fn verify_afresh(&self, ring: &KeyRing, token: &str) -> Result<(Caller, u64), Refusal> {
        let header = Header::read(token)?;
        let kid = header.kid.as_deref();
        if kid.is_some_and(|kid| !kid.starts_with(RESERVED) && !ring.knows(kid)) {
            self.unknown.notify_one();
        }
        let mut refusal = Refusal::Key;
        for held in ring.candidates(kid, header.algorithm) {
            let Some(rules) = held.rules(header.kind) else {
                continue;
            };
            match decode::<Said>(token, &held.key.key, rules) {
                Ok(decoded) => return self.caller(held, header.kind, decoded.claims),
                Err(error) => refusal = error.into(),
            }
        }
        Err(refusal)
    }

    fn caller(&self, held: &Held, kind: Kind, said: Said) -> Result<(Caller, u64), Refusal> {
        let now = get_current_timestamp();
        let expires = said.expires().ok_or(Refusal::Time)?;
        // What we sign ourselves has bounds of its own, however short users' tokens must be.
        let longest = match kind {
            Kind::Access => self.rules.longest_life.as_secs(),
            Kind::ApiKey => LONGEST_API_KEY_LIFE,
        };
        let latest = now + longest + LEEWAY_SECONDS;
        if expires > latest || !said.is_issued_by(now + LEEWAY_SECONDS) {
            return Err(Refusal::Time);
        }
        if !said.has_one_issuer() {
            return Err(Refusal::Audience);
        }
        let caller = match (&held.trust, kind) {
            (Trust::Users { platform }, Kind::Access) => said.into_user(&self.rules.names, *platform),
            (Trust::Service(name), Kind::Access) => said.into_service(name, now, LEEWAY_SECONDS),
            (Trust::Service(_), Kind::ApiKey) => said.into_api_key(now, LEEWAY_SECONDS),
            (Trust::Users { .. }, Kind::ApiKey) => Err(Refusal::Key),
        };
        Ok((caller?, expires))
    }
}

#[cfg(test)]
#[path = "api_key_tests.rs"]
mod api_key_tests;

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
