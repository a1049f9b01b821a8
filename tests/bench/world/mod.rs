//! What is measured: servers built for release on a private PostgreSQL and Redis, tenants and leads made in SQL, tokens.
mod programs;
mod seed;

pub use programs::Program;
pub use seed::{Sizes, TENANTS_BESIDES, lead_id, tenant_id, tenant_of};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use onekeel_api::ClientId;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::{Plan, Stack};
use onekeel_operator::trace::Receiver;
use onekeel_tenancy::Role;
use sqlx::PgPool;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::processor::Watched;
use crate::progress;

/// As a database is run that must keep what it has confirmed, with room for what is measured: after each checkpoint, the first
/// change of a page writes all of it, and a run that one begins in measures that.
pub const DURABLE: &[&str] = &[
    "fsync=on",
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "max_connections=400",
];
/// Connections of the callers to each server.
const CONNECTIONS: usize = 4;
/// Within which servers send the spans that they have.
const LONGEST_BATCH: Duration = Duration::from_secs(20);

/// A token as a header.
pub type Bearer = MetadataValue<Ascii>;

/// A running suite with tenants and leads.
pub struct World {
    /// The four servers.
    pub stack: Stack,
    /// A superuser's connections, for looking only.
    pub behind: PgPool,
    /// How much there is.
    pub sizes: Sizes,
    /// A token of each tenant, by its number; those of [`TENANTS_BESIDES`] come last.
    pub tokens: Arc<[Bearer]>,
    programs: PathBuf,
    redis_url: String,
    others: BTreeMap<&'static str, Program>,
    receiver: Receiver,
}

impl World {
    /// Starts everything on `backing`, servers by `plan`, and makes the rows.
    pub async fn start(backing: &Backing, sizes: Sizes, plan: Plan) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let programs = own.parent().context("a program lies in a folder")?.to_owned();
        let receiver = Receiver::start().await?;
        let mut plan = plan.with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint());
        plan.programs = Some(programs.clone());
        progress::say("starting four servers");
        let stack = Stack::start(backing, &plan).await?;
        let behind = PgPool::connect(&stack.database.admin_url).await?;
        seed::make(&behind, sizes).await?;
        let all = sizes.tenants + TENANTS_BESIDES;
        let tokens: anyhow::Result<Vec<Bearer>> = (0..all).map(|number| bearer(&stack, number)).collect();
        Ok(Self {
            stack,
            behind,
            sizes,
            tokens: tokens?.into(),
            programs,
            redis_url: backing.redis_url.clone(),
            others: BTreeMap::new(),
            receiver,
        })
    }

    /// Ends everything in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        for (_, program) in self.others {
            program.stop().await?;
        }
        self.behind.close().await;
        self.stack.stop().await
    }

    /// Connections to a server at `host:port`; clones of a client share one.
    pub fn channels(address: &str) -> anyhow::Result<Vec<Channel>> {
        let open = |_| Ok(onekeel_operator::stack::endpoint(address, None)?.connect_lazy());
        (0..CONNECTIONS).map(open).collect()
    }

    /// A server of the benchmark's own, started when first asked for.
    pub async fn program(&mut self, name: &'static str) -> anyhow::Result<&Program> {
        if !self.others.contains_key(name) {
            let started = Program::start(name, self).await?;
            self.others.insert(name, started);
        }
        self.others.get(name).context("it was just started")
    }

    /// The process of a server, and those that it asks.
    pub fn watched(&mut self, service: &'static str, replica: usize) -> anyhow::Result<Watched> {
        let server = self.stack.server(service, replica)?.process().id();
        let mut peers = self.peers()?;
        peers.retain(|peer| Some(*peer) != server);
        Ok(Watched { server, peers })
    }

    /// The servers that others ask.
    pub fn peers(&mut self) -> anyhow::Result<Vec<u32>> {
        let mut ids = Vec::new();
        for service in ["quota", "tenant"] {
            ids.extend(self.stack.server(service, 0)?.process().id());
        }
        Ok(ids)
    }

    /// Spans that the servers have sent so far.
    pub fn spans(&self) -> usize {
        self.receiver.all(|_| true).len()
    }

    /// Spans that came after the first `seen` ones; when some are `expected`, they are waited for, as they are sent in
    /// batches.
    pub async fn spans_after(&self, seen: usize, expected: bool) -> anyhow::Result<usize> {
        let deadline = Instant::now() + LONGEST_BATCH;
        let mut round = tokio::time::interval(Duration::from_millis(50));
        loop {
            round.tick().await;
            let came = self.spans().saturating_sub(seen);
            if came > 0 || !expected {
                return Ok(came);
            }
            anyhow::ensure!(Instant::now() < deadline, "no span of a traced call arrived");
        }
    }

    /// Redis' address.
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Folder of this run's files.
    pub fn folder(&self) -> PathBuf {
        self.stack.folder()
    }
}

fn bearer(stack: &Stack, number: u32) -> anyhow::Result<Bearer> {
    let token = stack.token(Some(ClientId::from(tenant_id(number))), Role::Admin)?;
    Ok(format!("Bearer {token}").parse()?)
}
