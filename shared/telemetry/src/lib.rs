//! What is seen from outside: logs, traces and metrics.

mod logs;
mod metrics_endpoint;
mod traces;

pub use logs::LogFormat;
pub use traces::{Recorded, server_span};

use std::error::Error;
use std::net::SocketAddr;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Where logs, traces and metrics go.
#[derive(Debug, Clone)]
pub struct Config {
    /// `service.name` of traces and logs, for example `onekeel-lead`.
    pub service: String,
    /// Lines for people or for machines.
    pub log_format: LogFormat,
    /// Which logs, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// An OTLP receiver that speaks gRPC, for example `http://localhost:4317`; none sends no traces.
    pub otlp_endpoint: Option<String>,
    /// Where Prometheus scrapes `/metrics`; none serves no metrics.
    pub metrics_listen: Option<SocketAddr>,
}

/// Sends what is still buffered when the process ends.
#[must_use = "traces are lost when the guard is dropped early"]
pub struct Guard(Option<opentelemetry_sdk::trace::SdkTracerProvider>);

impl Guard {
    /// Sends buffered spans and stops; blocks for a few seconds at most.
    pub fn flush(self) {
        if let Some(Err(error)) = self.0.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "last traces were not sent");
        }
    }
}

/// Starts logs, traces and metrics of this process; once, and inside the runtime.
pub fn init(config: &Config) -> Result<Guard, Box<dyn Error + Send + Sync>> {
    let provider = config
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| traces::provider(&config.service, endpoint))
        .transpose()?;
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log_filter)?;
    tracing_subscriber::registry()
        .with(filter)
        .with(logs::layer(config.log_format))
        .with(provider.as_ref().map(traces::layer))
        .try_init()?;
    if let Some(address) = config.metrics_listen {
        metrics_endpoint::serve(address)?;
    }
    Ok(Guard(provider))
}
