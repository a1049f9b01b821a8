//! How calls are watched: which of them are recorded, and as part of which trace.
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use onekeel_api::trace::{TraceContext, TraceId, parse_state};
use onekeel_api::{Call, Policies};
use onekeel_telemetry::{CallIds, Method, Place, Telemetry, server_span};
use tracing::Span;
use uuid::Uuid;

use crate::lines::Lines;
use crate::origin::Origins;

/// What the conventions for RPC call a method that the contract does not know.
const OTHER: &str = "_OTHER";
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// How calls are watched.
pub(crate) struct Watch {
    pub telemetry: Telemetry,
    pub policies: Arc<Policies>,
    /// Share of calls that start a trace of their own.
    sample_ratio: f64,
    pub origins: Origins,
    pub running: metrics::Gauge,
    pub lines: Lines,
}

impl Watch {
    pub fn new(telemetry: Telemetry, policies: Arc<Policies>, sample_ratio: f64, origins: Origins) -> Self {
        Self {
            telemetry,
            policies,
            sample_ratio,
            origins,
            running: metrics::gauge!("onekeel_rpc_running"),
            lines: Lines::default(),
        }
    }

    /// Decides about sampling before there is a span, which is what costs: a caller's decision holds, and of the
    /// calls without one the configured share is recorded. Returns the caller's span besides.
    pub fn join(&self, headers: &HeaderMap) -> (Call, Option<u64>) {
        let parent = headers
            .get(TRACE_PARENT)
            .and_then(|value| TraceContext::parse(value.to_str().ok()?));
        let random = Uuid::new_v4().as_u128();
        let Some(parent) = parent else {
            let context = TraceContext {
                trace_id: TraceId(random),
                span_id: new_span_id(),
                sampled: self.telemetry.traces.is_some() && lot(random) < self.sample_ratio,
            };
            return (Call::new(context, None), None);
        };
        let states = headers.get_all(TRACE_STATE).iter();
        let state = parse_state(states.filter_map(|value| value.to_str().ok()));
        // Without a receiver nothing is recorded here, and what is called from here belongs to the caller's span.
        let span_id = if self.telemetry.traces.is_some() {
            new_span_id()
        } else {
            parent.span_id
        };
        let context = TraceContext { span_id, ..parent };
        (Call::new(context, state), Some(parent.span_id))
    }

    /// The span of a recorded call, or none.
    pub fn span(&self, call: &Call, parent: Option<u64>, method: Method) -> Span {
        if !call.context().sampled || self.telemetry.traces.is_none() {
            return Span::none();
        }
        let name = self.telemetry.calls.name(method).unwrap_or(OTHER);
        server_span(name, &place(call, parent))
    }
}

/// Where a call's span stands, for the crate that makes spans.
pub(crate) fn place(call: &Call, parent: Option<u64>) -> Place<'_> {
    let context = call.context();
    Place {
        trace_id: context.trace_id.0,
        span_id: context.span_id,
        parent,
        state: call.state(),
    }
}

/// What each log line of the present call says of it.
pub(crate) fn current_call() -> Option<CallIds> {
    Call::with_current(|call| CallIds {
        trace_id: call.context().trace_id.0,
        span_id: call.context().span_id,
        tenant: call.tenant().map(onekeel_api::ClientId::uuid),
    })
}

/// Version and variant bits keep both halves of a UUID from being zero.
pub(crate) fn new_span_id() -> u64 {
    u64::try_from(Uuid::new_v4().as_u128() >> 64).expect("64 bits are left")
}

/// From 0 to just below 1, of the bits of a trace id that are surely random.
fn lot(trace_id: u128) -> f64 {
    const BITS: u32 = 53;
    let bits = u64::try_from(trace_id & ((1 << BITS) - 1)).expect("53 bits");
    bits as f64 / 2_f64.powi(53)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_traces_is_what_it_says() {
        let lots: Vec<f64> = (0..20_000).map(|_| lot(Uuid::new_v4().as_u128())).collect();
        assert!(lots.iter().all(|lot| (0.0..1.0).contains(lot)));
        for (share, least, most) in [
            (0.0, 0, 0),
            (0.01, 120, 290),
            (0.5, 9_500, 10_500),
            (1.0, 20_000, 20_000),
        ] {
            let drawn = lots.iter().filter(|lot| **lot < share).count();
            assert!((least..=most).contains(&drawn), "{drawn} of 20,000 at {share}");
        }
    }
}
