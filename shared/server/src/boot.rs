//! The one `main`: configure, check, connect, bind, serve, and end in two stages.
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use onekeel_api::{FILE_DESCRIPTOR_SET, PageKey, Policies};
use onekeel_gate::{Gate, KeptContexts, Peers};
use onekeel_store::{CacheConfig, Store, StoreConfig};
use onekeel_telemetry::Telemetry;
use onekeel_tenancy::{PERMISSIONS, Signer, Verifier};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::drain::{Draining, TakesCalls};
use crate::front::Front;
use crate::metering::{Ledger, Writer};
use crate::origin::Origins;
use crate::outgoing::peer;
use crate::outside::Outside;
use crate::stack::Stack;
use crate::transport::{Identity, Listening, Watched, listen};
use crate::watch::current_call;
use crate::{Config, Parts, Routed, channels, every, health};

const RESTART_AFTER: Duration = Duration::from_secs(1);
/// A tenant's change counts in every replica within this time, and that of two calls.
const CHANGES_TASK: &str = "gate.changes";
const CHANGES_ROUND: Duration = Duration::from_millis(500);
/// Long enough that many tenants' slices are asked for in one call, and short beside the time that slices last.
const SLICES_TASK: &str = "gate.slices";
const SLICES_ROUND: Duration = Duration::from_millis(200);

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
    let keys = config.keys.open(name).await?;
    let identity = config.transport.identity().await?;
    let (takes_calls, draining) = Draining::new();
    let parts = prepare(name, &config, (keys.signer.clone(), keys.verifier.clone()), draining).await?;
    let (changes, slices) = (parts.gate.clone(), parts.gate.clone());
    let mut routed = routes(&parts)?
        .with_task(CHANGES_TASK, move || hear_of_changes(changes.clone()))
        .with_task(SLICES_TASK, move || renew_slices(slices.clone()));
    routed.tasks.extend(keys.tasks());
    let names = routed.services.names();
    let policies = load_policies(&names)?;
    if config.check {
        println!(
            "onekeel-{name} would serve {} on {} {}",
            names.join(", "),
            config.listen,
            if identity.is_some() { "by TLS" } else { "in plain text" }
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
        pages: std::mem::take(&mut routed.pages),
    });
    let telemetry = telemetry.map_err(anyhow::Error::from_boxed).context("telemetry")?;
    let writer = Writer::start(name, parts.store.clone(), telemetry.calls.clone());
    let admission = (policies, keys.verifier, writer.ledger());
    let served = serve(
        name,
        &config,
        &parts,
        routed,
        admission,
        (identity, takes_calls),
        telemetry.clone(),
    )
    .await;
    parts.gate.close().await;
    writer.finish().await;
    parts.store.close().await;
    tracing::info!(service = name, "ended");
    tokio::task::spawn_blocking(|| telemetry.flush()).await?;
    served
}

/// Everything that can be wrong is found here, before anything listens.
async fn prepare(
    name: &'static str,
    config: &Config,
    (signer, verifier): (Arc<Signer>, Arc<Verifier>),
    draining: Draining,
) -> anyhow::Result<Parts> {
    let page_key = PageKey::new(config.page_token_secret()?.expose().as_bytes());
    let redis_url = config.redis_url()?;
    let trusted = config.transport.authorities().await?;
    let quota = channels::open("QUOTA_ADDR", &config.quota_addr, trusted.as_ref())?;
    let tenant = channels::open("TENANT_ADDR", &config.tenant_addr, trusted.as_ref())?;
    let peers = Peers::new(
        signer.clone(),
        peer(quota, &config.quota_addr),
        peer(tenant, &config.tenant_addr),
    );
    let store = Store::connect(StoreConfig {
        url: config.database_url()?.expose().to_owned(),
        max_connections: config.max_connections,
        application: format!("onekeel-{name}"),
        cache: Some(CacheConfig {
            url: redis_url.expose().to_owned(),
            near_bytes: config.cache_near_bytes,
            policy: config.cache_policy.clone(),
        }),
    });
    let store = store.await.context("DATABASE_URL")?;
    store.verify().await.context("DATABASE_URL")?;
    Ok(Parts {
        gate: Gate::new(peers.clone(), KeptContexts::new(store.clone())),
        store,
        peers,
        verifier,
        signer,
        api_key_token_seconds: config.api_key_token_seconds,
        page_key,
        newest_pages_bytes: config.newest_pages_bytes,
        redis_url,
        base_domain: config.base_domain.clone(),
        service_hosts: config.service_hosts.clone(),
        dns_server: config.dns_server,
        audit_retention_days: config.audit_retention_days,
        replicas: config.replicas,
        draining,
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
    (policies, verifier, ledger): (Arc<Policies>, Arc<Verifier>, Arc<Ledger>),
    (identity, takes_calls): (Option<Watched<Identity>>, TakesCalls),
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
        store: parts.store.clone(),
        ledger,
        telemetry,
        sample_ratio: config.trace_sample_ratio,
        origins: Origins::trusting(config.trusted_proxies.clone()),
        max_calls: config.max_calls,
        mutual: config.transport.is_mutual(),
    };
    let names = routed.services.names();
    let front = Front::new(
        Outside::new(health_server, names.clone()),
        inside.around(routed.services),
    );
    let mut tasks = JoinSet::new();
    tasks.spawn(parts.gate.clone().settle_idle());
    let ready = tasks.spawn(health::follow(reporter.clone(), names.clone(), parts.store.clone()));
    for (task, start) in routed.tasks {
        tasks.spawn(keep_running(task, start));
    }
    let tls = identity.is_some();
    let listening = Listening {
        front,
        listener,
        identity,
        transport: config.transport.clone(),
    };
    let server = tokio::spawn(listen(listening, parts.draining.clone()));
    tracing::info!(service = name, listen = %config.listen, tls, "serving");
    if !tls && !config.listen.ip().is_loopback() {
        tracing::warn!("tokens travel in plain text; set TLS_CERT_FILE and TLS_KEY_FILE, unless a mesh encrypts");
    }

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(service = name, "draining");
    ready.abort();
    health::set(&reporter, &names, false).await;
    drop(takes_calls);
    tokio::select! {
        ended = server => ended.context("serving")?,
        () = tokio::time::sleep(config.drain()) => anyhow::bail!("calls were cut off after {} s", config.drain_seconds),
        _ = terminate.recv() => anyhow::bail!("cut off by a second SIGTERM"),
        _ = interrupt.recv() => anyhow::bail!("cut off by a second SIGINT"),
    }
    Ok(())
}

/// Keeps what the gate remembers of tenants true.
async fn hear_of_changes(gate: Gate) {
    every(CHANGES_ROUND, CHANGES_TASK, || gate.hear_of_changes()).await;
}

/// Keeps calls from waiting for their tenants' slices.
async fn renew_slices(gate: Gate) {
    every(SLICES_ROUND, SLICES_TASK, || gate.renew_slices()).await;
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
