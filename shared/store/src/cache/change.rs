//! What a transaction changes, and how the cache learns of it.
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use onekeel_api::ClientId;
use onekeel_tenancy::Tenant;
use prost::Message;
use uuid::Uuid;

use super::entry::{Entry, State};
use super::names::Names;
use super::read::LARGEST;
use super::{Cache, Kind, SLOWEST_READER};

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
    pub async fn outdate<T>(&self, kind: &Kind<T>, key: &str, tenants: &[(ClientId, u64)]) {
        let change = |(tenant, version): &(ClientId, u64)| Change::at_least(*tenant, kind, key, *version);
        self.tell(tenants.iter().map(change).collect()).await;
    }

    /// Tells what was committed. Goes on when the call that wrote is dropped.
    pub(crate) async fn tell(&self, changes: Vec<Change>) {
        let Some(inner) = self.0.clone().filter(|_| !changes.is_empty()) else {
            return;
        };
        let ttl = inner.policy.share().ttl;
        let told = tokio::spawn(async move {
            let inner = &inner;
            let tell = async |Change { names, entry }: Change| {
                let bytes = entry.encode();
                let written = inner
                    .remote
                    .write(names.all(), bytes, ttl, SLOWEST_READER, names.name());
                if written.await.is_none() {
                    metrics::counter!("onekeel_cache_untold_total").increment(1);
                }
            };
            // A thousand tenants may have changed at once, and somebody waits to be told so.
            stream::iter(changes).for_each_concurrent(MOST_AT_ONCE, tell).await;
        });
        // A panic in there was told by itself; the rows are committed in any case.
        let _ended = told.await;
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
