//! Where spans go: batches by OTLP, in the background, with a bounded queue. A receiver that is away costs only spans.
use std::error::Error;
use std::time::Duration;

use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfig, BatchConfigBuilder, BatchSpanProcessor, OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_QUEUE_SIZE,
    SdkTracerProvider, SpanData, SpanExporter,
};

use crate::ids::ChosenIds;
use crate::traces::Recorded;

const LONGEST_EXPORT: Duration = Duration::from_secs(5);
/// Half of what OpenTelemetry says, as all of the room is taken when a server starts, and a batch leaves as soon as it is full.
const QUEUE: usize = 1024;
const BATCH: usize = 128;

pub(crate) fn provider(
    service: &str,
    version: &'static str,
    endpoint: &str,
) -> Result<SdkTracerProvider, Box<dyn Error + Send + Sync>> {
    let wrong = || format!("OTEL_EXPORTER_OTLP_ENDPOINT: {endpoint} is no address such as http://host:4317");
    if endpoint.parse::<http::Uri>().map_err(|_| wrong())?.scheme_str() != Some("http") {
        return Err(wrong().into());
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(LONGEST_EXPORT)
        .build()?;
    let resource = Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(opentelemetry::KeyValue::new("service.namespace", "onekeel"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", version));
    Ok(SdkTracerProvider::builder()
        .with_span_processor(
            BatchSpanProcessor::builder(Counted(exporter))
                .with_batch_config(batches())
                .build(),
        )
        .with_id_generator(ChosenIds::default())
        .with_sampler(Recorded)
        .with_resource(resource.build())
        .build())
}

/// As OpenTelemetry's own variables say; without them, with less room than it would take.
fn batches() -> BatchConfig {
    let told = |name| std::env::var_os(name).is_some();
    let mut batches = BatchConfigBuilder::default();
    if !told(OTEL_BSP_MAX_QUEUE_SIZE) {
        batches = batches.with_max_queue_size(QUEUE);
    }
    if !told(OTEL_BSP_MAX_EXPORT_BATCH_SIZE) {
        batches = batches.with_max_export_batch_size(BATCH);
    }
    batches.build()
}

/// Counts what was sent and what was lost on the way.
#[derive(Debug)]
struct Counted(opentelemetry_otlp::SpanExporter);

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let sent = self.0.export(batch).await;
        let outcome = if sent.is_ok() { "sent" } else { "lost" };
        metrics::counter!("onekeel_trace_spans_total", "outcome" => outcome).increment(spans);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
