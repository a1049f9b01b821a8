//! What state a tenant is in, learned from TenantService and remembered for a moment.
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;
use onekeel_api::tenant::{GetTenantContextRequest, TenantContext};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;

use crate::Peers;

/// A change of state is effective in every replica within this time and one call; promised are 2 s.
const FRESH: Duration = Duration::from_secs(1);
/// While TenantService cannot be asked, a tenant known within this time goes on.
const KNOWN: Duration = Duration::from_secs(300);
const LONGEST_CALL: Duration = Duration::from_millis(900);
const REMEMBERED_TENANTS: usize = 10_000;

/// Held, since every call counts here.
static HITS: LazyLock<Counter> =
    LazyLock::new(|| metrics::counter!("onekeel_tenant_context_cache_total", "outcome" => "hit"));
static MISSES: LazyLock<Counter> =
    LazyLock::new(|| metrics::counter!("onekeel_tenant_context_cache_total", "outcome" => "miss"));

pub(crate) struct Contexts {
    peers: Peers,
    slots: Cache<ClientId, Arc<Slot>>,
}

#[derive(Default)]
struct Slot {
    known: Mutex<Option<(TenantContext, Instant)>>,
    flight: tokio::sync::Mutex<()>,
}

impl Slot {
    fn younger_than(&self, age: Duration) -> Option<TenantContext> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .as_ref()
            .filter(|(_, asked)| asked.elapsed() < age)
            .map(|(context, _)| context.clone())
    }
}

impl Contexts {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            slots: Cache::new(REMEMBERED_TENANTS),
        }
    }

    /// The tenant's context, at most [`FRESH`] old; older only while TenantService is not reachable.
    pub async fn get(&self, tenant: &Tenant) -> Result<TenantContext, Fault> {
        let made = self
            .slots
            .get_or_insert_with(&tenant.id(), || Ok::<_, Fault>(Arc::default()));
        let slot = made?;
        if let Some(context) = slot.younger_than(FRESH) {
            HITS.increment(1);
            return Ok(context);
        }
        let _flight = slot.flight.lock().await;
        if let Some(context) = slot.younger_than(FRESH) {
            HITS.increment(1);
            return Ok(context);
        }
        MISSES.increment(1);
        let asked = Instant::now();
        match self.ask(tenant).await {
            Ok(context) => {
                *slot.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((context.clone(), asked));
                Ok(context)
            }
            // The token is genuine, but its tenant is not (or no longer) there.
            Err(fault) if fault.reason() == ErrorReason::NotFound => {
                self.slots.remove(&tenant.id());
                Err(Fault::permission_denied())
            }
            Err(fault) => {
                metrics::counter!("onekeel_tenant_context_failures_total").increment(1);
                let stale = slot.younger_than(KNOWN);
                stale.ok_or_else(|| Fault::unavailable("the tenant's state is not known; try again").cause(fault))
            }
        }
    }

    async fn ask(&self, tenant: &Tenant) -> Result<TenantContext, Fault> {
        let request = self.peers.request(tenant, GetTenantContextRequest {}, LONGEST_CALL)?;
        let answer = self.peers.tenant().get_tenant_context(request).await;
        Ok(answer.map_err(|status| Fault::from_status(&status))?.into_inner())
    }
}
