//! `/metrics` for Prometheus: one page of everything that this process counts.
use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio::time::{Interval, MissedTickBehavior};

use crate::calls::Calls;
use crate::histogram::BOUNDS;
use crate::{Config, catalogue};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The process is looked at this often.
const ROUND: Duration = Duration::from_secs(5);
/// Histograms are summed up this often; until then they hold each number.
const SUMMED: Duration = Duration::from_secs(1);

/// Another page beside the metrics.
#[derive(Clone)]
pub struct Page {
    /// For example `/.well-known/jwks.json`.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// Makes its text anew for each visitor; without one the page is not there at present.
    pub text: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl Page {
    fn add_to(&self, router: Router) -> Router {
        let Self { path, kind, text } = self.clone();
        let show = move || {
            let shown = text();
            async move {
                shown
                    .map(|text| ([(CONTENT_TYPE, kind)], text))
                    .ok_or(StatusCode::SERVICE_UNAVAILABLE)
            }
        };
        router.route(path, get(show))
    }
}

/// Starts to count, and serves what was counted at `address`.
pub(crate) fn serve(
    address: SocketAddr,
    calls: Arc<Calls>,
    config: &Config,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let taken = |error| format!("METRICS_LISTEN: cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).map_err(taken)?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BOUNDS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    catalogue::describe();
    metrics::gauge!("onekeel_build_info", "service" => config.service.clone(), "version" => config.version).set(1.0);
    let process = Collector::default();
    process.collect();
    tokio::spawn(keep_up(handle.clone(), process));
    let page = Router::new().route(
        "/metrics",
        get(move || {
            let text = render(&handle, &calls);
            async move { ([(CONTENT_TYPE, TEXT)], text) }
        }),
    );
    let page = config.pages.iter().fold(page, |router, page| page.add_to(router));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, page).await {
            tracing::error!(%error, "the metrics endpoint ended");
        }
    });
    Ok(())
}

fn render(handle: &PrometheusHandle, calls: &Calls) -> String {
    let mut text = handle.render();
    calls.render(&mut text);
    text
}

async fn keep_up(handle: PrometheusHandle, process: Collector) {
    let [mut round, mut summed] = [ROUND, SUMMED].map(ticks);
    loop {
        tokio::select! {
            _ = round.tick() => process.collect(),
            // What histograms hold between two scrapes is not bounded without this.
            _ = summed.tick() => handle.run_upkeep(),
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
