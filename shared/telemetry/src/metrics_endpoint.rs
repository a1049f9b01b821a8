//! `/metrics` for Prometheus.
use std::error::Error;
use std::net::SocketAddr;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// Seconds; from a cache hit to the longest import.
const DURATIONS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 60.0,
];

pub(crate) fn serve(address: SocketAddr) -> Result<(), Box<dyn Error + Send + Sync>> {
    let builder = PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATIONS)?;
    let (recorder, endpoint) = builder.build()?;
    metrics::set_global_recorder(recorder)?;
    tokio::spawn(async move {
        if let Err(error) = endpoint.await {
            tracing::error!(?error, "the metrics endpoint ended");
        }
    });
    Ok(())
}
