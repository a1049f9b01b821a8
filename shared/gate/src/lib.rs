//! Whether it may: the tenant's state, the caller's address, the host that it called, the allowance of requests, and leases of quota units.
//!
//! The gate asks QuotaService and TenantService and knows no number of its own.

mod admission;
mod allowance;
mod announce;
mod authority;
mod charge;
mod context;
mod detached;
mod due;
mod ended;
mod fallback;
mod guard;
mod hosts;
mod kept;
mod lease;
mod ledger;
mod moment;
mod news;
mod peers;
mod pieces;
mod refusal;
mod resize;
mod retry;
mod row;
mod settle;
mod size;
mod slice;
mod units;

pub use admission::{Admission, AdmissionLayer};
pub use charge::Charge;
pub use guard::Guarded;
pub use kept::{Edition, KeptContexts};
pub use ledger::{write_charge, write_release};
pub use moment::{Heard, HeldCounter, Moment, RENEWED};
pub use peers::{PeerChannel, Peers};
pub use resize::{Resize, Resized};
pub use retry::or_first_result;
pub use row::ChargeRow;
pub use size::Size;

use std::sync::Arc;

use onekeel_api::Fault;

use allowance::Allowances;
use context::Contexts;
use hosts::Hosts;
use lease::Leases;

/// What every server asks before it works. Clones share their caches.
#[derive(Clone)]
pub struct Gate {
    contexts: Arc<Contexts>,
    hosts: Arc<Hosts>,
    allowances: Arc<Allowances>,
    leases: Arc<Leases>,
}

impl Gate {
    /// A gate that asks through `peers`; while TenantService cannot be asked, what it said lately is in `kept`.
    pub fn new(peers: Peers, kept: KeptContexts) -> Self {
        Self {
            contexts: Arc::new(Contexts::new(peers.clone(), kept)),
            hosts: Arc::new(Hosts::new(peers.clone())),
            allowances: Arc::new(Allowances::new(peers.clone())),
            leases: Arc::new(Leases::new(peers)),
        }
    }

    /// Asks TenantService once which of the remembered tenants have changed. Call it twice a second for as long as the
    /// server runs: where it is not called, or fails, each tenant is asked for every second.
    ///
    /// # Errors
    /// When TenantService cannot be asked.
    pub async fn hear_of_changes(&self) -> Result<(), Fault> {
        let changed = self.contexts.hear().await?;
        self.allowances.end_slices(changed.as_deref());
        Ok(())
    }

    /// Asks QuotaService once for all slices of request allowances that end soon. Call it some times a second for as long as
    /// the server runs: where it is not called, or fails, one call in a minute waits for its tenant's next slice.
    ///
    /// # Errors
    /// When QuotaService cannot be asked.
    pub async fn renew_slices(&self) -> Result<(), Fault> {
        self.allowances.renew().await
    }
}
