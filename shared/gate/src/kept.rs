//! What TenantService said of tenants lately, kept in Redis for times in which it cannot be asked: a server that has just
//! started, or meets a tenant for the first time, then knows what the others know.
//!
//! TenantService keeps it whenever it answers, and follows the changes: what has changed it drops, and then it says up to
//! where it has come. What is kept counts for as long as somebody said so lately. Where changes were missed, as after a loss
//! in Redis or in the database, another edition begins, and what was kept in the one before counts no more. While TenantService
//! can be asked, nobody looks here.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use onekeel_api::tenant::TenantContext;
use onekeel_api::{ClientId, Fault};
use onekeel_store::{Held, Kind, Store};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::Heard;

/// Without a word of those who follow the changes, what is kept counts for as long as servers themselves go on with what they
/// know.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);
/// Longer than it takes until somebody asks for a tenant again.
pub(crate) const LONGEST_KEPT: Duration = Duration::from_secs(2700);
const KIND: Kind<KeptContext> = Kind::new("tenant", KeptContext::version).kept_for(LONGEST_KEPT);
const KEY: &str = "kept";
const FOLLOWED: &str = "tenant:followed";

/// A context as it is kept.
#[derive(Clone, PartialEq, prost::Message)]
struct KeptContext {
    #[prost(message, optional, tag = "1")]
    context: Option<TenantContext>,
    /// That in which it was read.
    #[prost(bytes = "vec", tag = "2")]
    edition: Vec<u8>,
}

impl KeptContext {
    fn version(&self) -> u64 {
        version(self.context.as_ref().map_or(0, |context| context.change))
    }
}

/// Up to where changes were followed: all before are dropped.
#[derive(Clone, PartialEq, prost::Message)]
struct Followed {
    #[prost(bytes = "vec", tag = "1")]
    edition: Vec<u8>,
    #[prost(int64, tag = "2")]
    cursor: i64,
    /// The run of the database that told them.
    #[prost(int64, tag = "3")]
    run: i64,
}

/// The edition of what is kept; read it before the context.
pub struct Edition(Vec<u8>);

/// The place for contexts in the tenants' cache. Clones share what they know of it.
#[derive(Clone)]
pub struct KeptContexts {
    store: Store,
    edition: Arc<Mutex<Option<Vec<u8>>>>,
}

impl KeptContexts {
    /// In the cache of `store`.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            edition: Arc::default(),
        }
    }

    /// The present edition, once changes are followed.
    pub fn edition(&self) -> Option<Edition> {
        self.known().clone().map(Edition)
    }

    /// Keeps what was read just now in this edition, unless something newer is known.
    pub async fn keep(&self, tenant: &Tenant, Edition(edition): Edition, context: &TenantContext) {
        let kept = KeptContext {
            context: Some(context.clone()),
            edition,
        };
        let _kept = self.store.cache().set(tenant, &KIND, KEY, &kept, LONGEST_KEPT).await;
    }

    /// Drops what is older than these changes, each told with its number.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer for all of them.
    pub async fn outdate(&self, changes: &[(ClientId, i64)]) -> Result<(), Fault> {
        let changes: Vec<_> = changes
            .iter()
            .map(|(client, change)| (*client, version(*change)))
            .collect();
        self.store.cache().outdate(&KIND, KEY, &changes).await
    }

    /// Goes on where whoever followed the changes last has come to, asks what came since, or with 0 where to begin, and drops
    /// it. Call it twice a second: otherwise nothing that is kept counts.
    ///
    /// # Errors
    /// Those of `ask`, and `UNAVAILABLE` when Redis did not answer; the next call asks for the same again.
    pub async fn follow(&self, ask: impl AsyncFnOnce(i64) -> Result<Heard<ClientId>, Fault>) -> Result<(), Fault> {
        let before: Option<Followed> = self.store.place(FOLLOWED).await?;
        let heard = ask(before.as_ref().map_or(0, |before| before.cursor)).await?;
        self.outdate(&heard.changes).await?;
        let edition = match before {
            Some(before) if heard.complete && heard.run == before.run => before.edition,
            _ => Uuid::new_v4().into_bytes().to_vec(),
        };
        let now = Followed {
            edition: edition.clone(),
            cursor: heard.next,
            run: heard.run,
        };
        self.store.set_place(FOLLOWED, &now, LONGEST_SILENCE).await?;
        *self.known() = Some(edition);
        Ok(())
    }

    /// What is kept of the tenant, as it is by now.
    pub(crate) async fn find(&self, tenant: &Tenant) -> Option<TenantContext> {
        let followed: Followed = self.store.place(FOLLOWED).await.ok()??;
        match self.store.cache().get(tenant, &KIND, KEY).await {
            Held::Value(kept) if kept.edition == followed.edition => aged(kept.context?, SystemTime::now()),
            _ => None,
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.edition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(change: i64) -> u64 {
    change.try_into().unwrap_or_default()
}

/// The context with what has passed since it was read; none that is too old, or does not say when it was read.
fn aged(mut context: TenantContext, now: SystemTime) -> Option<TenantContext> {
    let read = SystemTime::try_from(context.read_time?).ok()?;
    // The clock of another machine may be ahead; Redis ends what is kept by its own.
    let age = now.duration_since(read).unwrap_or_default();
    for secret in &mut context.ended_secrets {
        let told = secret.remaining.and_then(|left| Duration::try_from(left).ok());
        let left = told.unwrap_or_default().saturating_sub(age);
        secret.remaining = prost_types::Duration::try_from(left).ok();
    }
    (age <= LONGEST_KEPT).then_some(context)
}

#[cfg(test)]
mod tests {
    use onekeel_api::tenant::EndedSecret;

    use super::*;

    #[test]
    fn what_is_kept_grows_older() {
        let read = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let context = TenantContext {
            read_time: Some(read.into()),
            ended_secrets: vec![EndedSecret {
                id: String::new(),
                remaining: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            }],
            ..TenantContext::default()
        };
        let left = |seconds| {
            let now = read + Duration::from_secs(seconds);
            aged(context.clone(), now).map(|context| context.ended_secrets[0].remaining.expect("a time").seconds)
        };
        assert_eq!([left(0), left(20), left(2700)], [Some(60), Some(40), Some(0)]);
        assert_eq!(left(2701), None, "too old");
        assert_eq!(aged(TenantContext::default(), read), None, "nobody knows how old");
        let earlier = read.checked_sub(Duration::from_secs(5)).expect("a time");
        assert!(aged(context.clone(), earlier).is_some(), "another clock is ahead");
    }
}
