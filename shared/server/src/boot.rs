//! The one `main`: configure, check, connect, bind, serve, and end in two stages.
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use onekeel_api::{FILE_DESCRIPTOR_SET, PageKey, Policies};
use onekeel_gate::{Gate, Peers};
use onekeel_store::{Store, StoreConfig};
use onekeel_telemetry::Telemetry;
use onekeel_tenancy::{PERMISSIONS, Verifier};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::observe::current_call;
use crate::outgoing::peer;
use crate::stack::{Stack, outside};
use crate::{Config, Parts, Routed, channels, health};

const MOST_STREAMS: u32 = 256;
const LARGEST_HEADERS: u32 = 24 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Runs the server `name` until SIGTERM or SIGINT. `routes` makes its services from the parts.
/// Exit codes: 0 ended in order, 1 could not start or was cut off, 2 wrong usage.
pub fn main(name: &'static str, routes: fn(&Parts) -> anyhow::Result<Routed>) -> ExitCode {
    let config = Config::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(name, &error.into()),
    };
    match runtime.block_on(run(name, config, routes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(name, &error),
    }
}

fn fail(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("onekeel-{name}: {error:#}");
    ExitCode::FAILURE
}

async fn run(name: &'static str, config: Config, routes: fn(&Parts) -> anyhow::Result<Routed>) -> anyhow::Result<()> {
    let verifier = Arc::new(config.verifier()?);
    let parts = prepare(name, &config).await?;
    let routed = routes(&parts)?;
    let policies = load_policies(&routed.names)?;
    if config.check {
        println!(
            "onekeel-{name} would serve {} on {}",
            routed.names.join(", "),
            config.listen
        );
        return Ok(());
    }
    let telemetry = onekeel_telemetry::init(&onekeel_telemetry::Config {
        service: format!("onekeel-{name}"),
        version: env!("CARGO_PKG_VERSION"),
        log_format: config.log_format,
        log_filter: config.log.clone(),
        current_call,
        otlp_endpoint: config.otlp_endpoint.clone(),
        metrics_listen: config.metrics_listen,
        methods: policies.all().map(|(path, _)| path.to_owned()).collect(),
        metrics_tenants: config.metrics_tenants.into(),
    });
    let telemetry = telemetry.map_err(anyhow::Error::from_boxed).context("telemetry")?;
    let served = serve(name, &config, &parts, routed, policies, verifier, telemetry.clone()).await;
    parts.gate.close().await;
    parts.store.close().await;
    tracing::info!(service = name, "ended");
    tokio::task::spawn_blocking(|| telemetry.flush()).await?;
    served
}

/// Everything that can be wrong is found here, before anything listens.
async fn prepare(name: &'static str, config: &Config) -> anyhow::Result<Parts> {
    let signer = Arc::new(config.signer(name)?);
    let page_key = PageKey::new(config.page_token_secret()?.expose().as_bytes());
    let redis_url = config.redis_url()?;
    let quota = channels::open("QUOTA_ADDR", &config.quota_addr)?;
    let tenant = channels::open("TENANT_ADDR", &config.tenant_addr)?;
    let peers = Peers::new(
        signer,
        peer(quota, &config.quota_addr),
        peer(tenant, &config.tenant_addr),
    );
    let store = Store::connect(StoreConfig {
        url: config.database_url()?.expose().to_owned(),
        max_connections: config.max_connections,
        application: format!("onekeel-{name}"),
    });
    let store = store.await.context("DATABASE_URL")?;
    store.verify().await.context("DATABASE_URL")?;
    Ok(Parts {
        store,
        gate: Gate::new(peers.clone()),
        peers,
        page_key,
        redis_url,
        replicas: config.replicas,
    })
}

fn load_policies(names: &[&'static str]) -> anyhow::Result<Arc<Policies>> {
    let policies = Policies::load(FILE_DESCRIPTOR_SET, names)?;
    for (path, policy) in policies.all() {
        let known = policy.permission.is_empty() || PERMISSIONS.contains(&policy.permission.as_str());
        anyhow::ensure!(known, "{path} asks for the unknown permission {}", policy.permission);
    }
    Ok(Arc::new(policies))
}

async fn serve(
    name: &'static str,
    config: &Config,
    parts: &Parts,
    routed: Routed,
    policies: Arc<Policies>,
    verifier: Arc<Verifier>,
    telemetry: Telemetry,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let (reporter, health_server) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(health::LIVE, tonic_health::ServingStatus::Serving)
        .await;
    let inside = Stack {
        policies,
        verifier,
        gate: parts.gate.clone(),
        telemetry,
        sample_ratio: config.trace_sample_ratio,
        max_calls: config.max_calls,
    };
    let routes = outside(health_server, &routed.names, inside.around(routed.routes))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(parts.gate.clone().settle_idle());
    let ready = tasks.spawn(health::follow(
        reporter.clone(),
        routed.names.clone(),
        parts.store.clone(),
    ));
    for (task, start) in routed.tasks {
        tasks.spawn(keep_running(task, start));
    }
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(listen(routes, listener, stopped));
    tracing::info!(service = name, listen = %config.listen, "serving");

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(service = name, "draining");
    ready.abort();
    health::set(&reporter, &routed.names, false).await;
    drop(stop);
    tokio::select! {
        ended = server => ended?.context("serving")?,
        () = tokio::time::sleep(config.drain()) => anyhow::bail!("calls were cut off after {} s", config.drain_seconds),
        _ = terminate.recv() => anyhow::bail!("cut off by a second SIGTERM"),
        _ = interrupt.recv() => anyhow::bail!("cut off by a second SIGINT"),
    }
    Ok(())
}

async fn listen(
    routes: Routes,
    listener: TcpListener,
    stopped: tokio::sync::oneshot::Receiver<()>,
) -> Result<(), tonic::transport::Error> {
    let drain = async { drop(stopped.await) };
    Server::builder()
        .max_concurrent_streams(MOST_STREAMS)
        .http2_max_header_list_size(LARGEST_HEADERS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), drain)
        .await
}

/// Starts background work again when it ends or panics, and says so.
async fn keep_running(name: &'static str, start: crate::parts::Task) {
    loop {
        // A set of one: it ends its work when this future is dropped.
        let mut work = JoinSet::new();
        work.spawn(start());
        let ended = work.join_next().await;
        metrics::counter!("onekeel_background_restarts_total", "task" => name).increment(1);
        tracing::error!(
            task = name,
            panicked = matches!(ended, Some(Err(_))),
            "background work ended and is started again"
        );
        tokio::time::sleep(RESTART_AFTER).await;
    }
}
