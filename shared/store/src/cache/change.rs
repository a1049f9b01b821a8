//! What a transaction changes, and how the cache learns of it.
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use onekeel_api::{ClientId, Fault};
use onekeel_tenancy::Tenant;
use prost::Message;
use uuid::Uuid;

use super::entry::{Entry, State};
use super::names::Names;
use super::read::LARGEST;
use super::{Cache, Kind, SLOWEST_READER, away};

/// Commands that wait for Redis together.
const MOST_AT_ONCE: usize = 64;

/// A row that a transaction has written.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    names: Names,
    entry: Entry,
}

impl Change {
    /// `row` is what it is now, if it still is there.
    pub fn of<T: Message + Default>(tenant: &Tenant, kind: &Kind<T>, key: &str, version: u64, row: Option<&T>) -> Self {
        let value = row.map(Message::encode_to_vec);
        let state = match &value {
            None => State::Absent,
            Some(value) if value.len() <= LARGEST => State::Value,
            Some(_) => State::Floor,
        };
        Self {
            names: Names::of(tenant.id(), kind.name, key),
            entry: Entry {
                state,
                generation: Uuid::nil(),
                version,
                tenant: tenant.id().uuid(),
                value: value
                    .map(Bytes::from)
                    .filter(|_| state == State::Value)
                    .unwrap_or_default(),
            },
        }
    }
}

impl Change {
    /// The tenant's row has this version at least; what it is now has to be read.
    fn at_least<T>(tenant: ClientId, kind: &Kind<T>, key: &str, version: u64) -> Self {
        Self {
            names: Names::of(tenant, kind.name, key),
            entry: Entry {
                state: State::Floor,
                generation: Uuid::nil(),
                version,
                tenant: tenant.uuid(),
                value: Bytes::new(),
            },
        }
    }
}

impl Cache {
    /// Drops what is kept below `key` for each of these tenants, unless it has the version beside it, or a later one. Needs
    /// no proof of a tenant, as nobody learns anything by it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer for all of them.
    pub async fn outdate<T>(&self, kind: &Kind<T>, key: &str, tenants: &[(ClientId, u64)]) -> Result<(), Fault> {
        let change = |(tenant, version): &(ClientId, u64)| Change::at_least(*tenant, kind, key, *version);
        let told = self.tell(tenants.iter().map(change).collect()).await;
        if told { Ok(()) } else { Err(away()) }
    }

    /// Tells what was committed; whether Redis has heard all of it. Goes on when the call that wrote is dropped.
    pub(crate) async fn tell(&self, changes: Vec<Change>) -> bool {
        let Some(inner) = self.0.clone().filter(|_| !changes.is_empty()) else {
            return true;
        };
        let ttl = inner.policy.share().ttl;
        let told = tokio::spawn(async move {
            let (inner, untold) = (&inner, &AtomicBool::new(false));
            let tell = async |Change { names, entry }: Change| {
                let bytes = entry.encode();
                let written = inner
                    .remote
                    .write(names.all(), bytes, ttl, SLOWEST_READER, names.name());
                if written.await.is_none() {
                    metrics::counter!("onekeel_cache_untold_total").increment(1);
                    untold.store(true, Ordering::Relaxed);
                }
            };
            // A thousand tenants may have changed at once, and somebody waits to be told so.
            stream::iter(changes).for_each_concurrent(MOST_AT_ONCE, tell).await;
            !untold.load(Ordering::Relaxed)
        });
        // A panic in there was told by itself; the rows are committed in any case.
        told.await.unwrap_or(false)
    }

    /// Tells that these rows may have changed, or may change in a moment.
    pub(crate) fn doubt(&self, changes: Vec<Change>) {
        let (Some(inner), Ok(runtime)) = (self.0.clone(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        if changes.is_empty() {
            return;
        }
        runtime.spawn(async move {
            for Change { names, entry } in changes {
                let doubt = Entry {
                    state: State::Doubt,
                    version: 0,
                    value: Bytes::new(),
                    ..entry
                };
                metrics::counter!("onekeel_cache_doubts_total").increment(1);
                if inner
                    .remote
                    .set(&names.entry, doubt.encode(), SLOWEST_READER)
                    .await
                    .is_none()
                {
                    metrics::counter!("onekeel_cache_untold_total").increment(1);
                }
            }
        });
    }
}
