//! What probes see of every server: whether it lives, and whether it is ready.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::Stack;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const BETWEEN_PROBES: Duration = Duration::from_millis(50);
const LONGEST_PROBE: Duration = Duration::from_secs(1);

/// Probes of one server, as its orchestrator makes them.
struct Probed {
    name: String,
    ready: AtomicBool,
    falls: AtomicUsize,
    probes: AtomicUsize,
    not_alive: AtomicUsize,
}

/// Running probes of every server.
pub struct Watch {
    servers: Vec<Arc<Probed>>,
    _probes: JoinSet<()>,
}

impl Watch {
    /// Starts to probe servers that are ready.
    pub fn start(stack: &Stack) -> anyhow::Result<Self> {
        let (mut servers, mut probes) = (Vec::new(), JoinSet::new());
        for service in SERVICES {
            let probed = Arc::new(Probed {
                name: service.to_owned(),
                ready: AtomicBool::new(true),
                falls: AtomicUsize::default(),
                probes: AtomicUsize::default(),
                not_alive: AtomicUsize::default(),
            });
            probes.spawn(probe(stack.channel(service, 0)?, probed.clone()));
            servers.push(probed);
        }
        Ok(Self {
            servers,
            _probes: probes,
        })
    }

    /// Waits until every server is ready, or none is; returns how long that took.
    pub async fn until(&self, ready: bool, longest: Duration) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut round = tokio::time::interval(Duration::from_millis(10));
        loop {
            round.tick().await;
            let others = self
                .servers
                .iter()
                .filter(|server| server.ready.load(Ordering::Acquire) != ready);
            let others: Vec<&str> = others.map(|server| server.name.as_str()).collect();
            if others.is_empty() {
                return Ok(began.elapsed());
            }
            ensure!(
                began.elapsed() < longest,
                "after {longest:?} ready is not {ready} for {others:?}"
            );
        }
    }

    /// How often readiness fell, of all servers together.
    pub fn falls(&self) -> usize {
        self.servers
            .iter()
            .map(|server| server.falls.load(Ordering::Acquire))
            .sum()
    }

    /// Fails when a server did not live at a probe; returns how many probes there were.
    pub fn all_alive(&self) -> anyhow::Result<usize> {
        let mut probes = 0;
        for server in &self.servers {
            let (seen, dead) = (
                server.probes.load(Ordering::Acquire),
                server.not_alive.load(Ordering::Acquire),
            );
            ensure!(dead == 0, "{} did not live at {dead} of {seen} probes", server.name);
            ensure!(seen > 0, "{} was never probed", server.name);
            probes += seen;
        }
        Ok(probes)
    }
}

async fn probe(channel: Channel, probed: Arc<Probed>) {
    let mut round = tokio::time::interval(BETWEEN_PROBES);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let ready = is_serving(&channel, "").await.unwrap_or(false);
        if probed.ready.swap(ready, Ordering::AcqRel) && !ready {
            probed.falls.fetch_add(1, Ordering::AcqRel);
        }
        probed.probes.fetch_add(1, Ordering::AcqRel);
        if !is_serving(&channel, "live").await.unwrap_or(false) {
            probed.not_alive.fetch_add(1, Ordering::AcqRel);
        }
    }
}

async fn is_serving(channel: &Channel, service: &str) -> anyhow::Result<bool> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut client = HealthClient::new(channel.clone());
    let answer = tokio::time::timeout(LONGEST_PROBE, client.check(request)).await;
    let answer = answer.context("no answer")??.into_inner();
    Ok(answer.status() == ServingStatus::Serving)
}
