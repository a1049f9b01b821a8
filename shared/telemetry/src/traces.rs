//! Spans of calls, joined to their caller's trace and sent by OTLP.
use std::error::Error;

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SamplingResult, SdkTracerProvider, ShouldSample};
use tracing::{Span, Subscriber, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// The ids of a recorded span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// W3C trace id.
    pub trace_id: u128,
    /// W3C span id.
    pub span_id: u64,
}

pub(crate) fn provider(service: &str, endpoint: &str) -> Result<SdkTracerProvider, Box<dyn Error + Send + Sync>> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(ServerRoots)))
        .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
        .build())
}

pub(crate) fn layer<S>(provider: &SdkTracerProvider) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("onekeel"))
        .boxed()
}

/// A call that is not recorded has no span of its own; without this its inner spans would become traces.
#[derive(Clone, Debug)]
struct ServerRoots;

impl ShouldSample for ServerRoots {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let sampler = if *kind == SpanKind::Server {
            Sampler::AlwaysOn
        } else {
            Sampler::AlwaysOff
        };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// The span of one call, by the OpenTelemetry conventions for RPC, below `parent` (trace id, span id) if there is one.
/// The ids are there when an exporter records it. Decide about sampling before: this is the expensive part.
pub fn server_span(path: &str, parent: Option<(u128, u64)>) -> (Span, Option<Recorded>) {
    let method = path.trim_start_matches('/');
    let span = tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = field::Empty,
        tenant.id = field::Empty,
    );
    if let Some((trace_id, span_id)) = parent {
        let remote = SpanContext::new(
            TraceId::from(trace_id),
            SpanId::from(span_id),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        if span
            .set_parent(Context::new().with_remote_span_context(remote))
            .is_err()
        {
            tracing::debug!("no exporter takes this span");
        }
    }
    let context = span.context();
    let ids = context.span().span_context().clone();
    let recorded = ids.is_valid().then(|| Recorded {
        trace_id: u128::from_be_bytes(ids.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(ids.span_id().to_bytes()),
    });
    (span, recorded)
}
