//! From a bearer token to a caller, or to the one answer for every bad token.
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Validation, decode, decode_header};
use metrics::Counter;
use onekeel_api::Fault;
use quick_cache::sync::Cache;

use crate::claims::{Claims, INTERNAL_AUDIENCE, service_issuer};
use crate::{Caller, KeyError, VerifyingKey};

const LONGEST_TOKEN: usize = 8 * 1024;
const LEEWAY_SECONDS: u64 = 30;
const CACHED_TOKENS: usize = 10_000;
const LONGEST_CACHED: Duration = Duration::from_secs(60);

/// Held, since every call counts here.
static HITS: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("onekeel_token_cache_total", "outcome" => "hit"));
static MISSES: LazyLock<Counter> =
    LazyLock::new(|| metrics::counter!("onekeel_token_cache_total", "outcome" => "miss"));

/// Who is believed.
#[derive(Debug, Clone)]
pub struct VerifierConfig {
    /// `iss` of users' and operators' tokens.
    pub issuer: String,
    /// `aud` of users' and operators' tokens.
    pub audience: String,
    /// Keys of the identity provider; they cannot sign for a service.
    pub keys: Vec<VerifyingKey>,
    /// Each service's own key by its name; it signs for that service and nobody else.
    pub peers: Vec<(String, VerifyingKey)>,
}

/// Verifies tokens; clones of a server share one by `Arc`.
pub struct Verifier {
    users: Vec<(VerifyingKey, Validation)>,
    peers: HashMap<String, (String, VerifyingKey, Validation)>,
    cache: Cache<[u8; 32], Cached>,
}

#[derive(Clone)]
struct Cached {
    caller: Caller,
    until: Instant,
}

impl Verifier {
    /// Refuses a configuration without any key for users.
    pub fn new(config: VerifierConfig) -> Result<Self, KeyError> {
        if config.keys.is_empty() {
            return Err(KeyError("no key verifies users' tokens".to_owned()));
        }
        if config.issuer.is_empty() || config.audience.is_empty() {
            return Err(KeyError("issuer and audience of users' tokens are required".to_owned()));
        }
        let users = config.keys.into_iter().map(|key| {
            let rules = validation(&key, &config.issuer, &config.audience);
            (key, rules)
        });
        let peers = config.peers.into_iter().map(|(name, key)| {
            let issuer = service_issuer(&name);
            let rules = validation(&key, &issuer, INTERNAL_AUDIENCE);
            (issuer, (name, key, rules))
        });
        Ok(Self {
            users: users.collect(),
            peers: peers.collect(),
            cache: Cache::new(CACHED_TOKENS),
        })
    }

    /// The caller that `token` proves. Every bad token gets the same fault; why is not told.
    pub fn verify(&self, token: &str) -> Result<Caller, Fault> {
        if token.len() > LONGEST_TOKEN {
            return Err(Fault::unauthenticated());
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let now = Instant::now();
        if let Some(cached) = self.cache.get(&key).filter(|cached| now < cached.until) {
            HITS.increment(1);
            return Ok(cached.caller);
        }
        MISSES.increment(1);
        let (caller, expires) = self.verify_afresh(token).ok_or_else(Fault::unauthenticated)?;
        let left = (expires + LEEWAY_SECONDS).saturating_sub(jsonwebtoken::get_current_timestamp());
        let until = now + LONGEST_CACHED.min(Duration::from_secs(left));
        let cached = Cached {
            caller: caller.clone(),
            until,
        };
        self.cache.insert(key, cached);
        Ok(caller)
    }

    fn verify_afresh(&self, token: &str) -> Option<(Caller, u64)> {
        let header = decode_header(token).ok()?;
        let kid = header.kid.as_deref();
        if let Some((name, key, rules)) = kid.and_then(|kid| self.peers.get(kid)) {
            let claims = decode::<Claims>(token, &key.key, rules).ok()?.claims;
            let expires = claims.exp;
            let now = jsonwebtoken::get_current_timestamp();
            return Some((claims.into_service(name, now, LEEWAY_SECONDS)?, expires));
        }
        let fits = |key: &VerifyingKey| key.id.is_none() || key.id.as_deref() == kid;
        let claims = self
            .users
            .iter()
            .filter(|(key, _)| fits(key))
            .find_map(|(key, rules)| decode::<Claims>(token, &key.key, rules).ok())?
            .claims;
        let expires = claims.exp;
        Some((claims.into_user()?, expires))
    }
}

fn validation(key: &VerifyingKey, issuer: &str, audience: &str) -> Validation {
    let mut rules = Validation::new(key.algorithm);
    rules.leeway = LEEWAY_SECONDS;
    rules.validate_nbf = true;
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    rules
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
