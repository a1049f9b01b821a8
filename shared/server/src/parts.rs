//! What the bootstrap gives to a service, and what a service gives back.
use std::net::SocketAddr;
use std::sync::Arc;

use onekeel_api::PageKey;
use onekeel_gate::{Gate, Peers};
use onekeel_store::Store;
use onekeel_telemetry::Page;
use onekeel_tenancy::{Signer, Verifier};

use crate::{Draining, Secret, Services};

/// The parts that a service is made of.
#[derive(Clone)]
pub struct Parts {
    /// The door to the database, with the service's own login.
    pub store: Store,
    /// Tenant state, allowances and leases.
    pub gate: Gate,
    /// The other services.
    pub peers: Peers,
    /// What every call's token is verified by, for messages that bring tokens of their own.
    pub verifier: Arc<Verifier>,
    /// Signs page tokens.
    pub page_key: PageKey,
    /// Bytes of newest pages that the lead server remembers.
    pub newest_pages_bytes: u64,
    /// Redis' address.
    pub redis_url: Secret,
    /// Domain below which each tenant has a host of its own.
    pub base_domain: Option<String>,
    /// Hosts that name no tenant.
    pub service_hosts: Vec<String>,
    /// The DNS server to ask, instead of the machine's own ones.
    pub dns_server: Option<SocketAddr>,
    /// Days for which events of the audit trail are kept.
    pub audit_retention_days: u16,
    /// Seconds for which a token is good that is given for an API key.
    pub api_key_token_seconds: u16,
    /// Signs with the service's own key.
    pub signer: Arc<Signer>,
    /// Replicas of each tenant-facing service.
    pub replicas: u32,
    /// When the server ends.
    pub draining: Draining,
}

/// What a service serves.
pub struct Routed {
    /// Its gRPC services; their methods' policies are read from the contract.
    pub services: Services,
    /// Work that runs beside the calls, each with a name for logs and metrics. A task that ends or panics is started
    /// again after a second.
    pub tasks: Vec<(&'static str, Task)>,
    /// Pages that it shows to everybody beside its metrics.
    pub pages: Vec<Page>,
}

/// Starts the work of a background task; called again when that work ends.
pub type Task = Box<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Routed {
    /// Services without background work.
    pub fn new(services: Services) -> Self {
        Self {
            services,
            tasks: Vec::new(),
            pages: Vec::new(),
        }
    }

    /// Adds a page beside the metrics, where METRICS_LISTEN is set.
    #[must_use]
    pub fn with_page(mut self, page: Page) -> Self {
        self.pages.push(page);
        self
    }

    /// Adds background work; `work` makes a future that normally runs for ever.
    #[must_use]
    pub fn with_task<F>(mut self, name: &'static str, work: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push((name, Box::new(move || Box::pin(work()))));
        self
    }
}
