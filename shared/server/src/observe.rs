//! The outermost layer: every call gets a trace id, is counted and timed, and a sampled one gets a span.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use onekeel_api::Policies;
use onekeel_api::trace::{self, TraceContext, TraceId};
use onekeel_telemetry::server_span;
use tower::{Layer, Service};
use tracing::{Instrument, Span};
use uuid::Uuid;

const UNKNOWN_METHOD: &str = "unknown";

/// Puts [`Observe`] around a service.
#[derive(Clone)]
pub(crate) struct ObserveLayer {
    pub policies: Arc<Policies>,
    /// Share of calls that start a trace of their own.
    pub sample_ratio: f64,
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            inner,
            config: self.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Observe<S> {
    inner: S,
    config: ObserveLayer,
}

impl<S, B, R> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let began = Instant::now();
        let path = request.uri().path();
        // Only methods of the contract become labels; a caller cannot make up series.
        let known = self.config.policies.get(path).is_some();
        let method = if known {
            path.to_owned()
        } else {
            UNKNOWN_METHOD.to_owned()
        };
        let (context, span) = self.config.join(request.headers(), &method);
        Box::pin(async move {
            let called = async { inner.call(request).await };
            let response = trace::scope(context, called).instrument(span.clone()).await?;
            let code = grpc_code(response.headers());
            span.record("rpc.response.status_code", code.as_str());
            metrics::histogram!("onekeel_rpc_duration_seconds", "method" => method.clone()).record(began.elapsed());
            metrics::counter!("onekeel_rpc_requests_total", "method" => method, "code" => code).increment(1);
            Ok(response)
        })
    }
}

impl ObserveLayer {
    /// Decides about sampling before there is a span, which is what costs.
    fn join(&self, headers: &HeaderMap, method: &str) -> (TraceContext, Span) {
        let parent = headers
            .get("traceparent")
            .and_then(|value| TraceContext::parse(value.to_str().ok()?));
        let random = Uuid::new_v4().as_u128();
        let own = TraceContext {
            trace_id: parent.map_or(TraceId(random), |parent| parent.trace_id),
            // Version and variant bits keep both halves of a UUID from being zero.
            span_id: u64::try_from(Uuid::new_v4().as_u128() >> 64).expect("64 bits are left"),
            sampled: false,
        };
        #[expect(clippy::cast_precision_loss, reason = "a share of calls needs no more than 53 bits")]
        let lot = (random >> 96) as f64 / f64::from(u32::MAX);
        if !parent.map_or(lot < self.sample_ratio, |parent| parent.sampled) {
            return (own, Span::none());
        }
        let (span, recorded) = server_span(method, parent.map(|parent| (parent.trace_id.0, parent.span_id)));
        let context = recorded.map_or(own, |ids| TraceContext {
            trace_id: TraceId(ids.trace_id),
            span_id: ids.span_id,
            sampled: true,
        });
        (context, span)
    }
}

/// Failures stand in the head of an answer; a call whose stream fails later counts as answered.
fn grpc_code(headers: &HeaderMap) -> String {
    let number = headers.get("grpc-status").map_or(&b"0"[..], |value| value.as_bytes());
    format!("{:?}", tonic::Code::from_bytes(number))
}
