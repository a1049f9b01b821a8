//! Whose a host is, asked of TenantService: only for hosts that are not the tenant's own, and remembered for a moment.
use std::sync::LazyLock;
use std::time::Duration;

use metrics::Counter;
use onekeel_api::tenant::{CheckHostRequest, HostOwner};
use onekeel_api::{ClientId, Fault, HostName};
use onekeel_tenancy::Tenant;
use tokio::sync::Semaphore;

use crate::Peers;
use crate::moment::{Moment, RENEWED};

const LONGEST_CALL: Duration = Duration::from_millis(900);
const REMEMBERED_HOSTS: usize = 5_000;
/// Callers may make up hosts without end; so many are asked for at once.
const MOST_QUESTIONS: usize = 32;

static HITS: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("onekeel_host_cache_total", "outcome" => "hit"));
static MISSES: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("onekeel_host_cache_total", "outcome" => "miss"));

pub(crate) struct Hosts {
    peers: Peers,
    owners: Moment<(ClientId, HostName), HostOwner>,
    places: Semaphore,
}

impl Hosts {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            owners: Moment::new(REMEMBERED_HOSTS, RENEWED, &HITS, &MISSES),
            places: Semaphore::new(MOST_QUESTIONS),
        }
    }

    /// Whose the host is, as far as it concerns the tenant.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody says so: a host that is not known may be another tenant's.
    pub async fn owner(&self, tenant: &Tenant, host: &HostName) -> Result<HostOwner, Fault> {
        let key = (tenant.id(), host.clone());
        let owner = self.owners.get(&key, self.ask(tenant, host)).await;
        owner.map_err(|fault| Fault::unavailable("it is not known whose the host is; try again").cause(fault))
    }

    async fn ask(&self, tenant: &Tenant, host: &HostName) -> Result<HostOwner, Fault> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Fault::unavailable("too many hosts are being looked up"));
        };
        let host = host.to_string();
        let request = self.peers.request(tenant, CheckHostRequest { host }, LONGEST_CALL)?;
        let answer = self.peers.tenant().check_host(request).await;
        let owner = answer
            .map_err(|status| Fault::from_status(&status))?
            .into_inner()
            .owner();
        if owner == HostOwner::Unspecified {
            return Err(Fault::internal("TenantService says nothing of a host's owner"));
        }
        Ok(owner)
    }
}
