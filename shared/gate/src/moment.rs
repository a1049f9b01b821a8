//! Answers of an authority, believed for a moment: one call asks for all that wait, and an old answer is better than none
//! for a while. Where the authority tells what has changed, an answer is believed for as long as it does.
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_store::Changes;
use quick_cache::sync::Cache;

use crate::news::{Edition, News};

/// A change is effective in every replica within this time and one call; promised are 2 s.
const FRESH: Duration = Duration::from_secs(1);
/// After a question in vain, those who wait for its answer do not ask one after the other.
const PAUSE: Duration = Duration::from_millis(250);
/// While the authority cannot be asked, what was known to be true within this time goes on.
const KNOWN: Duration = Duration::from_secs(300);
/// What the news cover is asked for again after up to this time all the same, where nobody needs it sooner.
pub const RENEWED: Duration = Duration::from_secs(3600);

/// A counter that is made when it is first counted with, after the recorder, and held, since every call counts with it.
pub type HeldCounter = &'static LazyLock<Counter>;

/// What was asked lately, by `K`.
pub struct Moment<K, V> {
    slots: Cache<K, Arc<Slot<V>>>,
    news: News,
    renewed: Duration,
    hits: HeldCounter,
    misses: HeldCounter,
}

struct Slot<V> {
    state: Mutex<State<V>>,
    flight: tokio::sync::Mutex<()>,
}

struct State<V> {
    known: Option<Known<V>>,
    /// How often it was forgotten.
    forgotten: u64,
    /// The last change that was told, and in which edition of the news: in another one, it may be another change.
    change: Option<(Edition, i64)>,
    /// When the authority did not answer.
    in_vain: Option<Instant>,
}

struct Known<V> {
    value: V,
    asked: Instant,
    /// When it is asked for again, whatever the news cover.
    again: Instant,
    /// That of the news when it was asked.
    edition: Edition,
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                known: None,
                forgotten: 0,
                change: None,
                in_vain: None,
            }),
            flight: tokio::sync::Mutex::default(),
        }
    }
}

impl<V: Clone> Slot<V> {
    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, if the news or its age say that it is true.
    fn believed(&self, news: &News, now: Instant) -> Option<V> {
        let state = self.state();
        let known = state.known.as_ref();
        let true_still = |known: &&Known<V>| {
            let age = now.saturating_duration_since(known.asked);
            age < FRESH || (now < known.again && news.covers(known.edition, now))
        };
        known.filter(true_still).map(|known| known.value.clone())
    }

    fn asked_in_vain(&self) -> bool {
        self.state().in_vain.is_some_and(|asked| asked.elapsed() < PAUSE)
    }

    fn known_of_late(&self, news: &News) -> Option<V> {
        let state = self.state();
        let lately = |known: &&Known<V>| {
            let heard = news.true_at(known.edition).unwrap_or(known.asked);
            heard.max(known.asked).elapsed() < KNOWN
        };
        state.known.as_ref().filter(lately).map(|known| known.value.clone())
    }

    /// Keeps an answer, unless its key changed while it was asked for.
    fn keep(&self, known: Known<V>, forgotten: u64) {
        let mut state = self.state();
        if state.forgotten == forgotten {
            state.known = Some(known);
        }
    }

    fn forget(&self) {
        let mut state = self.state();
        state.known = None;
        state.forgotten += 1;
    }

    /// It has changed; a change that was told before changes nothing. Returns whether it was not.
    fn hear(&self, edition: Edition, change: i64) -> bool {
        let told = Some((edition, change));
        let before = std::mem::replace(&mut self.state().change, told);
        if told != before {
            self.forget();
        }
        told != before
    }
}

/// Half of it up to all of it, so that what was asked for together is not asked for again together.
fn spread(renewed: Duration, asked: u64) -> Duration {
    const STEPS: u32 = 1000;
    let step = u32::try_from(asked % u64::from(STEPS)).unwrap_or_default();
    renewed / 2 + renewed / 2 * (STEPS - step) / STEPS
}

impl<K: Hash + Eq + Clone, V: Clone> Moment<K, V> {
    /// Remembers `most` answers at most, asks for each again after `renewed` at the latest ([`RENEWED`] where nobody needs it
    /// sooner), and counts who found one.
    pub fn new(most: usize, renewed: Duration, hits: HeldCounter, misses: HeldCounter) -> Self {
        Self {
            slots: Cache::new(most),
            news: News::default(),
            renewed,
            hits,
            misses,
        }
    }

    /// The answer for `key`: covered by what was told of changes, or a second old at most; older only while `ask` fails. What
    /// is not found is forgotten.
    pub async fn get(&self, key: &K, ask: impl Future<Output = Result<V, Fault>>) -> Result<V, Fault> {
        let slot = self.slots.get_or_insert_with(key, || Ok::<_, Fault>(Arc::default()))?;
        if let Some(value) = slot.believed(&self.news, Instant::now()) {
            self.hits.increment(1);
            return Ok(value);
        }
        let _flight = slot.flight.lock().await;
        if let Some(value) = slot.believed(&self.news, Instant::now()) {
            self.hits.increment(1);
            return Ok(value);
        }
        if slot.asked_in_vain() {
            let away = || Fault::unavailable("it could not be asked a moment ago; try again");
            return slot.known_of_late(&self.news).ok_or_else(away);
        }
        self.misses.increment(1);
        // All before the question: whatever is told from here on concerns the answer.
        let (edition, forgotten, asked) = (self.news.edition(), slot.state().forgotten, Instant::now());
        match ask.await {
            Ok(value) => {
                let known = Known {
                    value: value.clone(),
                    asked,
                    again: asked + spread(self.renewed, self.news.micros(asked)),
                    edition,
                };
                slot.keep(known, forgotten);
                Ok(value)
            }
            Err(fault) if fault.reason() == ErrorReason::NotFound => {
                self.slots.remove(key);
                Err(fault)
            }
            Err(fault) => {
                metrics::counter!("onekeel_tenant_context_failures_total").increment(1);
                slot.state().in_vain = Some(Instant::now());
                slot.known_of_late(&self.news).ok_or(fault)
            }
        }
    }

    /// The answer for `key`, where it is known and true.
    pub fn known(&self, key: &K, now: Instant) -> Option<V> {
        let known = self.slots.get(key)?.believed(&self.news, now);
        known.inspect(|_| self.hits.increment(1))
    }

    /// Forgets the answer for `key`, and one that is on its way.
    pub fn forget(&self, key: &K) {
        if let Some(slot) = self.slots.get(key) {
            slot.forget();
        }
    }

    /// Asks once for all that is remembered what has changed; `ask` gets the cursor of the answer before, or 0. Returns what
    /// has since it was told last, which may be told again for as long as a transaction is under way; nothing where all may
    /// have.
    ///
    /// # Errors
    /// Those of `ask`. What was told before counts for another second and a half at most.
    pub async fn hear(&self, ask: impl AsyncFnOnce(i64) -> Result<Heard<K>, Fault>) -> Result<Option<Vec<K>>, Fault> {
        let (cursor, asked) = (self.news.cursor(), Instant::now());
        let heard = ask(cursor).await?;
        if cursor == 0 || !heard.complete || heard.run != self.news.run() {
            // What was asked for before this answer is covered by none.
            self.news.begin(heard.run, heard.next, asked);
            return Ok(None);
        }
        let (mut changed, edition) = (heard.changes, self.news.edition());
        changed.retain(|(key, change)| self.slots.get(key).is_none_or(|slot| slot.hear(edition, *change)));
        self.news.go_on(heard.next, asked);
        Ok(Some(changed.into_iter().map(|(key, _)| key).collect()))
    }
}

/// What the authority tells of changes.
pub struct Heard<K> {
    /// What has changed, each with a number that grows with its changes.
    pub changes: Vec<(K, i64)>,
    /// Where to go on.
    pub next: i64,
    /// Whether nothing is left out.
    pub complete: bool,
    /// The run of the database that told it: one that was put back may lack what was told before.
    pub run: i64,
}

impl From<Changes> for Heard<ClientId> {
    fn from(changes: Changes) -> Self {
        Self {
            changes: changes.tenants,
            next: changes.next,
            complete: changes.complete,
            run: changes.run,
        }
    }
}

#[cfg(test)]
#[path = "moment_tests.rs"]
mod tests;
