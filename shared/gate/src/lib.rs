//! Whether it may: the tenant's state, its allowance of requests, and leases of quota units.
//!
//! The gate asks QuotaService and TenantService and knows no number of its own.

mod admission;
mod allowance;
mod announce;
mod charge;
mod context;
mod detached;
mod fallback;
mod lease;
mod ledger;
mod peers;
mod resize;
mod retry;
mod settle;
mod size;
mod slice;
mod units;

pub use admission::{Admission, AdmissionLayer};
pub use charge::Charge;
pub use ledger::{write_charge, write_release};
pub use peers::{PeerChannel, Peers};
pub use resize::{Resize, Resized};
pub use retry::or_first_result;
pub use size::Size;
pub use units::ChargeRow;

use std::sync::Arc;

use allowance::Allowances;
use context::Contexts;
use lease::Leases;

/// What every server asks before it works. Clones share their caches.
#[derive(Clone)]
pub struct Gate {
    contexts: Arc<Contexts>,
    allowances: Arc<Allowances>,
    leases: Arc<Leases>,
}

impl Gate {
    /// A gate that asks through `peers`.
    pub fn new(peers: Peers) -> Self {
        Self {
            contexts: Arc::new(Contexts::new(peers.clone())),
            allowances: Arc::new(Allowances::new(peers.clone())),
            leases: Arc::new(Leases::new(peers)),
        }
    }
}
