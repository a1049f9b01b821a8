//! What is seen from outside: logs, traces and metrics.

mod calls;
pub mod catalogue;
mod codes;
mod export;
mod histogram;
mod ids;
mod logs;
mod metrics_endpoint;
mod series;
mod tenants;
mod traces;

pub use calls::{Calls, Method};
pub use codes::{code_name, is_fault_of_server};
pub use logs::{CallIds, CurrentCall, LogFormat};
pub use metrics_endpoint::Page;
pub use traces::{Ended, Place, Traces, client_span, record_end, server_span};

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const LONGEST_FLUSH: Duration = Duration::from_secs(3);

/// Where logs, traces and metrics go.
#[derive(Debug, Clone)]
pub struct Config {
    /// `service.name` of traces and metrics, for example `onekeel-lead`.
    pub service: String,
    /// Its version.
    pub version: &'static str,
    /// Lines for people or for machines.
    pub log_format: LogFormat,
    /// Which logs, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Finds the call that a log line belongs to.
    pub current_call: CurrentCall,
    /// An OTLP receiver that speaks gRPC, for example `http://localhost:4317`; none sends no traces.
    pub otlp_endpoint: Option<String>,
    /// Where Prometheus scrapes `/metrics`; none serves no metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// Paths of the methods that are counted.
    pub methods: Vec<String>,
    /// How many tenants are counted one by one.
    pub metrics_tenants: usize,
    /// Other pages that are served where metrics are.
    pub pages: Vec<Page>,
}

/// What a running process sees itself with.
#[derive(Clone)]
pub struct Telemetry {
    /// Counts calls.
    pub calls: Arc<Calls>,
    /// Sends spans; none where there is no receiver.
    pub traces: Option<Traces>,
}

impl Telemetry {
    /// Sends buffered spans and stops; blocks for three seconds at most.
    pub fn flush(self) {
        let ended = self.traces.map(|traces| traces.0.shutdown_with_timeout(LONGEST_FLUSH));
        if let Some(Err(error)) = ended {
            tracing::warn!(%error, "last traces were not sent");
        }
    }
}

/// Starts logs, traces and metrics of this process; once, and inside the runtime.
pub fn init(config: &Config) -> Result<Telemetry, Box<dyn Error + Send + Sync>> {
    let provider = config
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| export::provider(&config.service, config.version, endpoint))
        .transpose()?;
    // The other filter, which knows spans and their fields as well, brings half a megabyte of regular expressions along.
    let filter: Targets = config.log_filter.parse()?;
    tracing_subscriber::registry()
        .with(logs::layer(config.log_format, filter, config.current_call))
        .with(provider.as_ref().map(traces::layer))
        .try_init()?;
    let calls = Arc::new(Calls::new(config.methods.iter().cloned(), config.metrics_tenants));
    if let Some(address) = config.metrics_listen {
        metrics_endpoint::serve(address, calls.clone(), config)?;
    }
    Ok(Telemetry {
        calls,
        traces: provider.map(Traces),
    })
}
