//! Reading through the cache.
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::Counter;
use onekeel_api::Fault;
use onekeel_tenancy::Tenant;
use prost::Message;
use uuid::Uuid;

use super::entry::{Entry, State};
use super::flights::{Part, arrive};
use super::names::Names;
use super::near::Raw;
use super::policy::Share;
use super::{Cache, Inner, Kind};

/// Larger values are read anew each time.
pub(crate) const LARGEST: usize = 64 * 1024;
/// What took longer may have been overtaken by a write whose trace is gone.
const LONGEST_LOAD: Duration = Duration::from_secs(30);
/// How long it is believed that there is nothing.
const ABSENT_TTL: Duration = Duration::from_secs(5);

/// What the cache knows of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held<T> {
    /// This is it.
    Value(T),
    /// It is not there.
    Absent,
    /// Nothing: ask the database.
    Nothing,
}

/// Held, since reads count here.
struct Outcomes {
    hit: Counter,
    miss: Counter,
    first: Counter,
    shared: Counter,
    away: Counter,
}

static OUTCOMES: LazyLock<Outcomes> = LazyLock::new(|| {
    let of = |outcome| metrics::counter!("onekeel_cache_reads_total", "outcome" => outcome);
    Outcomes {
        hit: of("hit"),
        miss: of("miss"),
        first: of("first"),
        shared: of("shared"),
        away: of("away"),
    }
});

impl Cache {
    /// What is known of the entry.
    pub async fn get<T: Message + Default>(&self, tenant: &Tenant, kind: &Kind<T>, key: &str) -> Held<T> {
        let Some(inner) = &self.0 else { return Held::Nothing };
        let names = Names::of(tenant.id(), kind.name, key);
        match inner.remote.get([&names.generation, &names.entry]).await {
            Some([known, raw]) => held(tenant, &known, &raw),
            None => Held::Nothing,
        }
    }

    /// Keeps a value that was read just now, for `ttl` at most from now on, unless a newer one is known; says whether it is
    /// kept.
    pub async fn set<T: Message + Default>(
        &self,
        tenant: &Tenant,
        kind: &Kind<T>,
        key: &str,
        value: &T,
        ttl: Duration,
    ) -> bool {
        let Some(inner) = &self.0 else { return false };
        let names = Names::of(tenant.id(), kind.name, key);
        let Some([known, _]) = inner.remote.get([&names.generation, &names.entry]).await else {
            return false;
        };
        let found = ((kind.version)(value), value.encode_to_vec().into());
        let share = kind.share(&inner.policy);
        let share = Share {
            ttl: ttl.min(share.ttl),
            ..share
        };
        inner.fill(tenant, &names, known, Some(found), share, true).await
    }

    /// The value of the entry, or what `load` reads from the database: by one call for all who ask at the same time. An entry
    /// that is asked for the first time is read from the database and not kept.
    ///
    /// # Errors
    /// Whatever `load` returns; the cache itself never fails a call.
    pub async fn read<T, L>(&self, tenant: &Tenant, kind: &Kind<T>, key: &str, load: L) -> Result<Option<T>, Fault>
    where
        T: Message + Default,
        L: AsyncFnOnce() -> Result<Option<T>, Fault>,
    {
        let Some(inner) = &self.0 else { return load().await };
        let names = Names::of(tenant.id(), kind.name, key);
        let keys = [&*names.generation, &*names.entry];
        let now = inner.remote.stamp(&names.entry);
        let looked = match inner.remote.near(keys) {
            None if !inner.asked.before(&names.entry) => {
                OUTCOMES.first.increment(1);
                // Nobody joins it: Redis does not know that this process reads the row, and would not tell of a change.
                return load().await;
            }
            None => inner.remote.ask(keys).await,
            near => near,
        };
        let Some([known, raw]) = looked else {
            OUTCOMES.away.increment(1);
            return load().await;
        };
        let hit = match held(tenant, &known, &raw) {
            Held::Value(value) => Some(Some(value)),
            Held::Absent => Some(None),
            Held::Nothing => None,
        };
        if let Some(value) = hit {
            OUTCOMES.hit.increment(1);
            return Ok(value);
        }
        let pilot = match inner.flights.join(&names.entry, now) {
            Part::Pilot(pilot) => Some(pilot),
            Part::Alone => None,
            Part::Passenger(landed) => match arrive(landed).await {
                Some(found) => {
                    OUTCOMES.shared.increment(1);
                    return found.map(T::decode).transpose().map_err(Fault::internal);
                }
                None => None,
            },
        };
        OUTCOMES.miss.increment(1);
        let began = Instant::now();
        let value = load().await?;
        let found = value
            .as_ref()
            .map(|value| ((kind.version)(value), Bytes::from(value.encode_to_vec())));
        if let Some(pilot) = pilot {
            pilot.land(found.as_ref().map(|(_, bytes)| bytes.clone()));
        }
        if began.elapsed() < LONGEST_LOAD {
            let share = kind.share(&inner.policy);
            inner.fill(tenant, &names, known, found, share, false).await;
        }
        Ok(value)
    }
}

impl Inner {
    /// Offers what was found. What is known in the same version stays as it is, unless it `lives_on`.
    async fn fill(
        &self,
        tenant: &Tenant,
        names: &Names,
        known: Raw,
        found: Option<(u64, Bytes)>,
        share: Share,
        lives_on: bool,
    ) -> bool {
        let (state, longest) = match found {
            Some(_) => (State::Value, share.ttl),
            None => (State::Absent, ABSENT_TTL),
        };
        let (version, value) = found.unwrap_or_default();
        if value.len() > LARGEST {
            return false;
        }
        let entry = Entry {
            state,
            generation: generation(&known),
            version,
            tenant: tenant.id().uuid(),
            value,
        };
        let share = Share {
            ttl: jittered(share.ttl.min(longest)),
            ..share
        };
        let filled = self
            .remote
            .fill(names.all(), entry.encode(), known, share, names.name(), lives_on)
            .await;
        let outcome = match filled {
            Some(1) => "kept",
            Some(2) => "no_room",
            Some(_) => "outdated",
            None => "away",
        };
        metrics::counter!("onekeel_cache_fills_total", "outcome" => outcome).increment(1);
        filled == Some(1)
    }
}

/// The value of an entry that is this tenant's and of the present generation.
fn held<T: Message + Default>(tenant: &Tenant, known: &Raw, raw: &Raw) -> Held<T> {
    let Some(entry) = raw.as_ref().and_then(Entry::decode) else {
        return Held::Nothing;
    };
    if entry.tenant != tenant.id().uuid() || entry.generation != generation(known) {
        return Held::Nothing;
    }
    match entry.state {
        State::Value => T::decode(entry.value).map_or(Held::Nothing, Held::Value),
        State::Absent => Held::Absent,
        State::Floor | State::Doubt => Held::Nothing,
    }
}

fn generation(known: &Raw) -> Uuid {
    let bytes = known.as_ref().and_then(|known| known.get(..16));
    bytes.and_then(|bytes| Uuid::from_slice(bytes).ok()).unwrap_or_default()
}

/// Nine tenths of it up to all of it, so that what was filled together does not end together.
fn jittered(ttl: Duration) -> Duration {
    let by = u32::from(Uuid::now_v7().as_bytes()[15]);
    ttl.saturating_sub(ttl / 10 * by / 255)
}
