//! The order of layers, written once.
use std::sync::Arc;

use onekeel_api::Policies;
use onekeel_gate::{AdmissionLayer, Gate};
use onekeel_store::Store;
use onekeel_telemetry::Telemetry;
use onekeel_tenancy::{AuthLayer, Verifier};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::ServiceBuilder;

use crate::bound::BoundLayer;
use crate::contract::translated;
use crate::front::Inside;
use crate::metering::{Ledger, MeteringLayer};
use crate::observe::ObserveLayer;
use crate::origin::Origins;
use crate::ready::sent;
use crate::services::Services;
use crate::support::SupportLayer;
use crate::transport::MutualLayer;

/// What the layers need.
pub(crate) struct Stack {
    pub policies: Arc<Policies>,
    pub verifier: Arc<Verifier>,
    pub gate: Gate,
    pub store: Store,
    pub ledger: Arc<Ledger>,
    pub telemetry: Telemetry,
    pub sample_ratio: f64,
    pub origins: Origins,
    pub max_calls: u32,
    /// Whether services have to show certificates.
    pub mutual: bool,
}

impl Stack {
    /// Puts the layers around `services`.
    pub fn around(self, services: Services) -> impl Inside {
        let calls = Arc::new(Semaphore::new(self.max_calls as usize));
        let layers = ServiceBuilder::new()
            // First, so that even a refusal is traced, timed and counted. Says where the call comes from, and what its method
            // declares.
            .layer(ObserveLayer::new(
                self.telemetry,
                self.policies,
                self.sample_ratio,
                self.origins,
            ))
            // Before any work is done for a caller: a place, a deadline, and a wall around panics.
            .layer(BoundLayer(calls))
            // Who calls, and is it a method for such callers? Leaves a Caller.
            .layer(AuthLayer::new(self.verifier))
            // Is a service the one that its token says?
            .layer(MutualLayer { required: self.mutual })
            // On whose bill the rest goes: also what is refused from here on.
            .layer(MeteringLayer(self.ledger))
            // State, permission, allowance: needs both. Last, so that a stranger spends nobody's allowance.
            .layer(AdmissionLayer::new(self.gate))
            // An operator who may look into a tenant is written down before it does.
            .layer(SupportLayer(self.store))
            // Next to the handlers, whose framework refuses messages that no handler sees.
            .map_response(translated::<Body>)
            // An answer that a handler had ready before.
            .map_response(sent);
        layers.service(services)
    }
}
