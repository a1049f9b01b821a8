//! The key set of an address: fetched at the start, then ever again, and sooner when a token names a key that is new.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use onekeel_tenancy::{KeySet, Trust, TrustedKey};
use tokio::time::{Instant, sleep, sleep_until};

use super::fetch::Address;
use super::{Believed, KeySettings, KeySource};
use crate::transport::spread;

/// Label of this source.
pub(super) const SOURCE: &str = "jwks_url";
/// Looks at the start, before the server gives up.
const FIRST_LOOKS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Unknown keys make us look at most as often: anybody can name one.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);
/// After failures we look ever later, and at last so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the age is told.
const PULSE: Duration = Duration::from_secs(1);

/// What is needed to fetch a set.
pub(super) struct Opening {
    address: Address,
    trust: Trust,
    every: Duration,
    keep: Duration,
}

impl Opening {
    pub fn of(settings: &KeySettings) -> anyhow::Result<Option<Self>> {
        let Some(url) = &settings.jwt_jwks_url else {
            return Ok(None);
        };
        let ca = settings.jwt_jwks_ca_file.clone();
        Ok(Some(Self {
            address: Address::parse(url, settings.jwt_jwks_allow_http, ca)?,
            trust: settings.trust(KeySource::JwksUrl),
            every: Duration::from_secs(settings.jwt_jwks_refresh_seconds),
            keep: Duration::from_secs(settings.jwt_jwks_keep_seconds),
        }))
    }

    /// The keys to start with: a server without them would refuse good tokens.
    pub async fn first(&self) -> anyhow::Result<Vec<TrustedKey>> {
        let mut look = 1;
        loop {
            match self.fetch().await {
                Ok(keys) => return Ok(keys),
                Err(error) if look == FIRST_LOOKS => return Err(error),
                Err(_) => sleep(FIRST_PAUSE * look).await,
            }
            look += 1;
        }
    }

    async fn fetch(&self) -> anyhow::Result<Vec<TrustedKey>> {
        let set = self.address.fetch().await.and_then(|bytes| Ok(KeySet::parse(&bytes)?));
        let set = set.context("JWT_JWKS_URL")?;
        for why in &set.left_out {
            tracing::debug!(keys.source = SOURCE, why, "a key of the set is left out");
        }
        Ok(set.keys.into_iter().map(|key| (key, self.trust.clone())).collect())
    }
}

struct State {
    good: Instant,
    tried: Instant,
    due: Instant,
    failures: u32,
    /// Whether the keys were given up because they were too old.
    expired: bool,
    complaint: String,
}

/// A set that is kept fresh.
pub(super) struct Remote {
    opening: Opening,
    believed: Arc<Believed>,
    state: Mutex<State>,
}

impl Remote {
    pub fn new(opening: Opening, believed: Arc<Believed>) -> Self {
        let now = Instant::now();
        let state = State {
            good: now,
            tried: now,
            due: now + spread(opening.every),
            failures: 0,
            expired: false,
            complaint: String::new(),
        };
        Self {
            opening,
            believed,
            state: Mutex::new(state),
        }
    }

    /// Keeps the set fresh for as long as the server runs.
    pub async fn follow(&self) {
        loop {
            self.wait().await;
            let fetched = self.opening.fetch().await;
            let taken = fetched.and_then(|keys| self.believed.exchange(SOURCE, keys));
            self.note(taken);
        }
    }

    /// Until it is time, or a token names a key that nobody knows.
    async fn wait(&self) {
        let (due, earliest) = self.with(|state| (state.due, state.tried + SHORTEST_PAUSE));
        let asked = async {
            sleep_until(earliest).await;
            self.believed.verifier.unknown_key().await;
        };
        let mut asked = std::pin::pin!(asked);
        let mut pulse = tokio::time::interval(PULSE);
        loop {
            tokio::select! {
                () = sleep_until(due) => return,
                () = asked.as_mut() => return,
                _ = pulse.tick() => self.tell_age(),
            }
        }
    }

    fn note(&self, taken: anyhow::Result<()>) {
        self.with(|state| {
            let now = Instant::now();
            state.tried = now;
            match taken {
                Ok(()) => {
                    metrics::counter!("onekeel_key_reloads_total", "source" => SOURCE).increment(1);
                    if state.failures > 0 {
                        tracing::info!(keys.source = SOURCE, "the key set can be fetched again");
                    }
                    (state.good, state.failures, state.expired) = (now, 0, false);
                    state.complaint.clear();
                    state.due = now + spread(self.opening.every);
                }
                Err(error) => {
                    metrics::counter!("onekeel_key_reload_failures_total", "source" => SOURCE).increment(1);
                    let doubled = Duration::from_secs(1 << state.failures.min(10));
                    state.failures = state.failures.saturating_add(1);
                    state.due = now + spread(doubled.min(LONGEST_PAUSE).min(self.opening.every));
                    let said = format!("{error:#}");
                    if said != state.complaint {
                        tracing::error!(keys.source = SOURCE, error = %said, "new keys are refused; the old ones stay in use");
                        state.complaint = said;
                    }
                }
            }
        });
        self.tell_age();
    }

    /// Keys that nobody has confirmed for too long are believed no more: one of them may have been withdrawn.
    fn tell_age(&self) {
        self.with(|state| {
            let age = state.good.elapsed();
            metrics::gauge!("onekeel_key_set_age_seconds", "source" => SOURCE).set(age.as_secs_f64());
            if age < self.opening.keep || state.expired {
                return;
            }
            state.expired = self.believed.exchange(SOURCE, Vec::new()).is_ok();
            tracing::error!(
                keys.source = SOURCE,
                "the key set could not be fetched for JWT_JWKS_KEEP_SECONDS; its keys are believed no more"
            );
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
