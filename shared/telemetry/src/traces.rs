//! Spans of calls, by the OpenTelemetry conventions for RPC, joined to their caller's trace.
//!
//! Whether a call is recorded is decided before it has a span; whoever makes a span here has decided.
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use tracing::{Span, Subscriber, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, layer};

use crate::codes::{code_name, is_fault_of_server};
use crate::ids;

/// Our own spans; those of libraries are theirs to switch on.
const TARGET: &str = "onekeel";

/// A call's place in its trace.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// W3C trace id, never zero.
    pub trace_id: u128,
    /// The id of the call's own span, never zero.
    pub span_id: u64,
    /// The caller's span.
    pub parent: Option<u64>,
    /// The caller's `tracestate`.
    pub state: Option<&'a str>,
}

impl Place<'_> {
    /// The caller's context, marked as sampled: the decision has been made.
    fn context(&self) -> Context {
        let Some(parent) = self.parent else {
            return Context::new();
        };
        let state = self.state.and_then(|state| TraceState::from_str(state).ok());
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from(self.trace_id),
            SpanId::from(parent),
            TraceFlags::SAMPLED,
            true,
            state.unwrap_or_default(),
        ))
    }
}

/// Sends spans, and makes those of calls that were not recorded and ended badly.
#[derive(Clone, Debug)]
pub struct Traces(pub(crate) SdkTracerProvider);

/// Records every call's span and what is below it. Whatever would start a trace by itself is background work: no span.
#[derive(Clone, Debug)]
pub(crate) struct Recorded;

impl ShouldSample for Recorded {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _trace: TraceId,
        _name: &str,
        kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|parent| parent.span().span_context().clone());
        let parent = parent.filter(SpanContext::is_valid);
        let recorded = *kind == SpanKind::Server || parent.as_ref().is_some_and(SpanContext::is_sampled);
        SamplingResult {
            decision: if recorded {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: parent.map(|parent| parent.trace_state().clone()).unwrap_or_default(),
        }
    }
}

pub(crate) fn layer<S>(provider: &SdkTracerProvider) -> impl layer::Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(TARGET))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        // Log lines stay logs: a cause that is fit for a log of ours is not fit for everybody who reads traces.
        .with_filter(filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with(TARGET)
        }))
}

/// The span of a call that this server answers.
pub fn server_span(method: &str, place: &Place<'_>) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "rpc.server",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = field::Empty,
        error.type = field::Empty,
        error.reason = field::Empty,
        tenant.id = field::Empty,
        network.transport = "tcp",
    );
    ids::with(place.trace_id, place.span_id, || {
        if span.set_parent(place.context()).is_err() {
            tracing::debug!("no exporter takes this span");
        }
        // Starts it here and now, where its ids are known.
        drop(span.context());
    });
    span
}

/// The span of a call to another server, below the present span. `server` is its address and port.
pub fn client_span(method: &str, place: &Place<'_>, server: (&str, u16)) -> Span {
    let span = tracing::info_span!(
        "rpc.client",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = field::Empty,
        error.type = field::Empty,
        error.reason = field::Empty,
        server.address = server.0,
        server.port = i64::from(server.1),
    );
    ids::with(place.trace_id, place.span_id, || drop(span.context()));
    span
}

/// Writes on a span of a call how that call ended. `failed` also for what only the caller did wrong.
pub fn record_end(span: &Span, code: tonic::Code, reason: Option<&str>, failed: bool) {
    let name = code_name(code);
    span.record("rpc.response.status_code", name);
    if let Some(reason) = reason {
        span.record("error.reason", reason);
    }
    if failed {
        span.record("otel.status_code", "error");
        span.record("error.type", reason.unwrap_or(name));
    }
}

/// What is known at the end of a call that had no span.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The method, as `onekeel.lead.v1.LeadService/CreateLead`.
    pub method: &'a str,
    /// How it ended.
    pub code: tonic::Code,
    /// Why.
    pub reason: Option<&'a str>,
    /// Whose data it was about.
    pub tenant: Option<uuid::Uuid>,
    /// How long it took until now.
    pub took: Duration,
}

impl Traces {
    /// Gives a call that was not recorded its span after all, when its server is to blame for its end.
    pub fn record_late(&self, place: &Place<'_>, ended: &Ended<'_>) {
        if !is_fault_of_server(ended.code) {
            return;
        }
        let now = SystemTime::now();
        let name = code_name(ended.code);
        let mut attributes = vec![
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", ended.method.to_owned()),
            KeyValue::new("rpc.response.status_code", name),
            KeyValue::new("error.type", ended.reason.unwrap_or(name).to_owned()),
            KeyValue::new("onekeel.sampled", false),
        ];
        if let Some(reason) = ended.reason {
            attributes.push(KeyValue::new("error.reason", reason.to_owned()));
        }
        if let Some(tenant) = ended.tenant {
            attributes.push(KeyValue::new("tenant.id", tenant.to_string()));
        }
        let tracer = self.0.tracer(TARGET);
        let builder = tracer
            .span_builder(ended.method.to_owned())
            .with_kind(SpanKind::Server)
            .with_start_time(now.checked_sub(ended.took).unwrap_or(now))
            .with_attributes(attributes);
        let mut span = ids::with(place.trace_id, place.span_id, || {
            builder.start_with_context(&tracer, &place.context())
        });
        span.set_status(Status::error(""));
        span.end_with_timestamp(now);
    }
}
