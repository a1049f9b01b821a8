//! The outermost layer: every call gets a trace id, is counted and timed, and a recorded one gets a span.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request, Response};
use onekeel_api::trace::{TraceContext, TraceId, parse_state};
use onekeel_api::{Call, Origin, Policies};
use onekeel_telemetry::{CallIds, Place, Telemetry, server_span};
use tonic::Status;
use tower::{Layer, Service};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::ended::{Ending, Lines};
use crate::origin::Origins;

/// What the conventions for RPC call a method that the contract does not know.
const OTHER: &str = "_OTHER";
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Puts [`Observe`] around a service.
#[derive(Clone)]
pub(crate) struct ObserveLayer(Arc<Watch>);

/// How calls are watched.
pub(crate) struct Watch {
    pub telemetry: Telemetry,
    policies: Arc<Policies>,
    /// Share of calls that start a trace of their own.
    sample_ratio: f64,
    origins: Origins,
    pub running: metrics::Gauge,
    pub lines: Lines,
}

impl ObserveLayer {
    pub fn new(telemetry: Telemetry, policies: Arc<Policies>, sample_ratio: f64, origins: Origins) -> Self {
        Self(Arc::new(Watch {
            telemetry,
            policies,
            sample_ratio,
            origins,
            running: metrics::gauge!("onekeel_rpc_running"),
            lines: Lines::default(),
        }))
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            inner,
            watch: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Observe<S> {
    inner: S,
    watch: Arc<Watch>,
}

impl<S, B, R> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Only methods of the contract become labels; a caller cannot make up series.
        let path = request.uri().path();
        let method = self.watch.telemetry.calls.method(path);
        let policy = self.watch.policies.get(path).cloned();
        let (call, parent) = self.watch.join(request.headers());
        let (origin, refusal) = match self.watch.origins.of(&request) {
            Ok(origin) => (origin, None),
            Err(fault) => (Origin::default(), Some(fault)),
        };
        let call = Arc::new(call.under_policy(policy).from_origin(origin));
        let span = self.watch.span(&call, parent, method);
        let ending = Ending::new(self.watch.clone(), method, call.clone(), parent, span.clone());
        // What the layers inside do before anything waits belongs to the call as well.
        let called = match refusal {
            Some(fault) => Err(fault),
            None => Ok(span.in_scope(|| call.sync_scope(|| self.inner.call(request)))),
        };
        let work = async move {
            let mut response = match called {
                Err(fault) => Status::from(fault).into_http(),
                Ok(called) => called.await?,
            };
            // Here, so that no refusal of the layers inside lacks them.
            announce(response.headers_mut());
            ending.answered(response.headers());
            Ok(response)
        };
        Box::pin(call.scope(work).instrument(span))
    }
}

impl Watch {
    /// Decides about sampling before there is a span, which is what costs: a caller's decision holds, and of the
    /// calls without one the configured share is recorded. Returns the caller's span besides.
    fn join(&self, headers: &HeaderMap) -> (Call, Option<u64>) {
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

    fn span(&self, call: &Call, parent: Option<u64>, method: onekeel_telemetry::Method) -> Span {
        if !call.context().sampled || self.telemetry.traces.is_none() {
            return Span::none();
        }
        let name = self.telemetry.calls.name(method).unwrap_or(OTHER);
        server_span(name, &place(call, parent))
    }
}

/// Says in the head of the answer what is known of the tenant's limit of requests.
fn announce(head: &mut HeaderMap) {
    Call::with_current(|call| {
        let Some(limit) = call.take_rate_limit() else {
            return;
        };
        head.insert(RATE_LIMIT_POLICY, limit.policy);
        if let Some(state) = limit.state {
            head.insert(RATE_LIMIT, state);
        }
    });
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
