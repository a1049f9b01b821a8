//! What state a tenant is in and how it may be called, learned from TenantService and remembered for a moment.
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;
use onekeel_api::tenant::{GetTenantContextRequest, ListTenantChangesRequest, TenantContext, TenantState};
use onekeel_api::{ClientId, ErrorReason, Fault, HostName, Network};
use onekeel_tenancy::Tenant;

use crate::Peers;
use crate::ended::EndedSecrets;
use crate::kept::{KeptContexts, LONGEST_KEPT};
use crate::moment::{Heard, Moment};

const LONGEST_CALL: Duration = Duration::from_millis(900);
const REMEMBERED_TENANTS: usize = 20_000;
/// Each is asked for again before TenantService's last answer is gone from what it keeps for times in which it is away.
const RENEWED: Duration = Duration::from_secs(1800);
/// What is kept ends up to a tenth before its time.
const _: () = assert!(RENEWED.as_secs() * 10 < LONGEST_KEPT.as_secs() * 9);

static HITS: LazyLock<Counter> =
    LazyLock::new(|| metrics::counter!("onekeel_tenant_context_cache_total", "outcome" => "hit"));
static MISSES: LazyLock<Counter> =
    LazyLock::new(|| metrics::counter!("onekeel_tenant_context_cache_total", "outcome" => "miss"));

static KEPT: LazyLock<Counter> =
    LazyLock::new(|| metrics::counter!("onekeel_tenant_context_cache_total", "outcome" => "kept"));

pub(crate) struct Contexts {
    peers: Peers,
    kept: KeptContexts,
    known: Moment<ClientId, Arc<Known>>,
    /// In whose name it is asked what has changed.
    last_asked: Mutex<Option<Tenant>>,
}

/// What is known of a tenant.
#[derive(Debug)]
pub(crate) struct Known {
    pub state: TenantState,
    pub plan: Arc<str>,
    /// None lets every address in.
    networks: Vec<Network>,
    hosts: Vec<HostName>,
    /// Secrets of API keys whose tokens count no more.
    pub ended: EndedSecrets,
}

impl Known {
    /// Reads a context; one that cannot be read is nobody's.
    fn read(context: &TenantContext) -> Result<Self, Fault> {
        let networks = context.networks.iter().map(|network| network.parse());
        Ok(Self {
            state: context.state(),
            plan: context.plan.as_str().into(),
            networks: networks.collect::<Result<_, String>>().map_err(Fault::internal)?,
            hosts: context.hosts.iter().filter_map(|host| HostName::parse(host)).collect(),
            ended: EndedSecrets::read(&context.ended_secrets).map_err(Fault::internal)?,
        })
    }

    /// Whether the tenant's users may call from there. An address that is not known is on no list.
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        let listed = |address| self.networks.iter().any(|network| network.contains(address));
        self.networks.is_empty() || address.is_some_and(listed)
    }

    /// Whether the host is surely the tenant's own.
    pub fn is_at(&self, host: &HostName) -> bool {
        self.hosts.contains(host)
    }
}

impl Contexts {
    pub fn new(peers: Peers, kept: KeptContexts) -> Self {
        Self {
            peers,
            kept,
            known: Moment::new(REMEMBERED_TENANTS, RENEWED, &HITS, &MISSES),
            last_asked: Mutex::default(),
        }
    }

    /// The tenant's context, true within the last second and a half; older only while TenantService is not reachable.
    pub async fn get(&self, tenant: &Tenant) -> Result<Arc<Known>, Fault> {
        let fault = match self.known.get(&tenant.id(), self.ask(tenant)).await {
            Ok(known) => return Ok(known),
            Err(fault) => fault,
        };
        let kept = match fault.reason() {
            // The token is genuine, but its tenant is not (or no longer) there.
            ErrorReason::NotFound => return Err(Fault::permission_denied()),
            ErrorReason::Unavailable | ErrorReason::DeadlineExceeded => self.kept.find(tenant).await,
            _ => None,
        };
        let Some(kept) = kept else {
            return Err(Fault::unavailable("the tenant's state is not known; try again").cause(fault));
        };
        KEPT.increment(1);
        Known::read(&kept).map(Arc::new)
    }

    /// The tenant's context, where nobody has to be asked for it.
    pub fn known(&self, tenant: &Tenant, now: Instant) -> Option<Arc<Known>> {
        self.known.known(&tenant.id(), now)
    }

    async fn ask(&self, tenant: &Tenant) -> Result<Arc<Known>, Fault> {
        *self.last_asked() = Some(tenant.clone());
        let request = self.peers.request(tenant, GetTenantContextRequest {}, LONGEST_CALL)?;
        let answer = self.peers.tenant().get_tenant_context(request).await;
        let context = answer.map_err(|status| Fault::from_status(&status))?.into_inner();
        Known::read(&context).map(Arc::new)
    }

    /// Asks once for all tenants that are remembered what has changed; where none is, there is nothing to ask. Returns who
    /// has, or nothing where all may have.
    pub async fn hear(&self) -> Result<Option<Vec<ClientId>>, Fault> {
        let Some(tenant) = self.last_asked().clone() else {
            return Ok(Some(Vec::new()));
        };
        let ask = async |cursor| {
            let message = ListTenantChangesRequest { cursor };
            let request = self.peers.request(&tenant, message, LONGEST_CALL)?;
            let answer = self.peers.tenant().list_tenant_changes(request).await;
            let answer = answer.map_err(|status| Fault::from_status(&status))?.into_inner();
            let changes = answer.changes.iter();
            let changes = changes.map(|told| Ok((ClientId::parse("client_id", &told.client_id)?, told.change)));
            Ok(Heard {
                changes: changes.collect::<Result<_, Fault>>()?,
                next: answer.cursor,
                complete: answer.complete,
                run: answer.database_run,
            })
        };
        self.known.hear(ask).await
    }

    fn last_asked(&self) -> MutexGuard<'_, Option<Tenant>> {
        self.last_asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(networks: &[&str]) -> Result<Known, Fault> {
        Known::read(&TenantContext {
            networks: networks.iter().map(|network| (*network).to_owned()).collect(),
            ..TenantContext::default()
        })
    }

    #[test]
    fn a_list_admits_what_is_on_it_and_nothing_unknown() {
        let address = |text: &str| Some(text.parse().expect(text));
        let list = known(&["203.0.113.0/24", "2001:db8::/32"]).expect("a list");
        assert!(list.admits(address("203.0.113.7")) && list.admits(address("2001:db8::7")));
        assert!(!list.admits(address("198.51.100.7")) && !list.admits(None));
        let none = known(&[]).expect("no list");
        assert!(none.admits(address("198.51.100.7")) && none.admits(None));
        assert_eq!(known(&["all"]).expect_err("no network").reason(), ErrorReason::Internal);
    }
}
