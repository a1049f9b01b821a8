//! What TenantService said of tenants lately, kept in Redis for times in which it cannot be asked: a server that has just
//! started, or meets a tenant for the first time, then knows what the others know.
//!
//! TenantService keeps it whenever it answers, and drops it before it tells anybody of a change. While it can be asked,
//! nobody looks here.
use std::time::{Duration, SystemTime};

use onekeel_api::ClientId;
use onekeel_api::tenant::TenantContext;
use onekeel_store::{Cache, Held, Kind};
use onekeel_tenancy::Tenant;

/// As long as servers themselves go on with what they know.
const LONGEST: Duration = Duration::from_secs(300);
const KIND: Kind<TenantContext> =
    Kind::new("tenant", |context: &TenantContext| version(context.change)).kept_for(LONGEST);
const KEY: &str = "context";

/// The place for contexts in a cache.
#[derive(Clone)]
pub struct KeptContexts(Cache);

impl KeptContexts {
    /// In `cache`.
    pub fn new(cache: Cache) -> Self {
        Self(cache)
    }

    /// Keeps what was read just now, unless something newer is known.
    pub async fn keep(&self, tenant: &Tenant, context: &TenantContext) {
        let _kept = self.0.set(tenant, &KIND, KEY, context, LONGEST).await;
    }

    /// Drops what is older than these changes, each told with its number.
    pub async fn outdate(&self, changes: &[(ClientId, i64)]) {
        let changes = changes.iter().map(|(client, change)| (*client, version(*change)));
        self.0.outdate(&KIND, KEY, &changes.collect::<Vec<_>>()).await;
    }

    /// What is kept of the tenant, as it is by now.
    pub(crate) async fn find(&self, tenant: &Tenant) -> Option<TenantContext> {
        match self.0.get(tenant, &KIND, KEY).await {
            Held::Value(context) => aged(context, SystemTime::now()),
            Held::Absent | Held::Nothing => None,
        }
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
    (age <= LONGEST).then_some(context)
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
        assert_eq!([left(0), left(20), left(300)], [Some(60), Some(40), Some(0)]);
        assert_eq!(left(301), None, "too old");
        assert_eq!(aged(TenantContext::default(), read), None, "nobody knows how old");
        let earlier = read.checked_sub(Duration::from_secs(5)).expect("a time");
        assert!(aged(context.clone(), earlier).is_some(), "another clock is ahead");
    }
}
