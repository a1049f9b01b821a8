//! What the bootstrap gives to a service, and what a service gives back.
use onekeel_api::PageKey;
use onekeel_gate::{Gate, Peers};
use onekeel_store::Store;
use tonic::service::Routes;

use crate::{Draining, Secret};

/// The parts that a service is made of.
#[derive(Clone)]
pub struct Parts {
    /// The door to the database, with the service's own login.
    pub store: Store,
    /// Tenant state, allowances and leases.
    pub gate: Gate,
    /// The other services.
    pub peers: Peers,
    /// Signs page tokens.
    pub page_key: PageKey,
    /// Redis' address.
    pub redis_url: Secret,
    /// Domain below which each tenant has a host of its own.
    pub base_domain: Option<String>,
    /// Replicas of each tenant-facing service.
    pub replicas: u32,
    /// When the server ends.
    pub draining: Draining,
}

/// What a service serves.
pub struct Routed {
    /// Its gRPC services.
    pub routes: Routes,
    /// Their full names in the contract; their methods' policies are read from it.
    pub names: Vec<&'static str>,
    /// Work that runs beside the calls, each with a name for logs and metrics. A task that ends or panics is started
    /// again after a second.
    pub tasks: Vec<(&'static str, Task)>,
}

/// Starts the work of a background task; called again when that work ends.
pub type Task = Box<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Routed {
    /// Routes without background work.
    pub fn new(routes: Routes, names: Vec<&'static str>) -> Self {
        Self {
            routes,
            names,
            tasks: Vec::new(),
        }
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
