//! One server as a process.
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use tokio::process::Command;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connect::endpoint;
use super::secrets::{AUDIENCE, ISSUER};
use crate::private::Process;

const LONGEST_START: Duration = Duration::from_secs(60);
const LONGEST_STOP: Duration = Duration::from_secs(40);
const LONGEST_PROBE: Duration = Duration::from_secs(1);

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For example `lead`.
    pub service: &'static str,
    /// Number of the process, from 0.
    pub replica: usize,
    /// Where it listens on the loopback interface.
    pub port: u16,
    /// Where it shows its metrics on the loopback interface.
    pub metrics_port: u16,
    /// Address with the service's own login.
    pub database_url: String,
    /// Address of Redis.
    pub redis_url: String,
    /// Folder of the run's secrets.
    pub secrets: PathBuf,
    /// QuotaService's addresses with commas between.
    pub quota: String,
    /// TenantService's addresses with commas between.
    pub tenant: String,
    /// Folder with `ca.pem`, `<service>.crt` and `<service>.key`; plain text without one.
    pub tls: Option<PathBuf>,
    /// Processes of the tenant-facing services.
    pub replicas: usize,
    /// What is special about this run.
    pub environment: Vec<(String, String)>,
    /// Where the server's program is, when not beside ours.
    pub programs: Option<PathBuf>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A server process.
pub struct Server {
    settings: Settings,
    process: Process,
}

impl Server {
    /// Starts the process; it does not serve yet.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let process = launch(&settings).await?;
        Ok(Self { settings, process })
    }

    /// Waits until the server says that it is ready.
    pub async fn wait_until_serving(&mut self) -> anyhow::Result<()> {
        let (address, tls) = (self.address(), self.settings.tls.clone());
        let probe = async || probe(&address, tls.as_deref()).await;
        let ready = async || matches!(tokio::time::timeout(LONGEST_PROBE, probe()).await, Ok(Ok(true)));
        self.process.wait_until(LONGEST_START, ready).await
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.settings.port)
    }

    /// `host:port` of `/metrics`.
    pub fn metrics_address(&self) -> String {
        format!("127.0.0.1:{}", self.settings.metrics_port)
    }

    /// Where its log lies.
    pub fn log(&self) -> &Path {
        &self.settings.log
    }

    /// The service's name.
    pub fn service(&self) -> &'static str {
        self.settings.service
    }

    pub(crate) fn is(&self, service: &str, replica: usize) -> bool {
        self.settings.service == service && self.settings.replica == replica
    }

    /// Kilobytes of the process in memory.
    pub fn resident(&self) -> anyhow::Result<u64> {
        self.process.resident()
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills with SIGKILL and starts the server again on the same port; returns when it serves.
    pub async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        self.process = launch(&self.settings).await?;
        self.wait_until_serving().await
    }

    /// Ends the server in order, by SIGTERM; returns whether it did so by itself.
    pub async fn stop(&mut self) -> anyhow::Result<bool> {
        self.process.stop(Signal::SIGTERM, LONGEST_STOP).await
    }
}

async fn launch(settings: &Settings) -> anyhow::Result<Process> {
    let program = program(settings.service, settings.programs.as_deref())?;
    let secret = |name: &str| settings.secrets.join(name);
    let mut command = Command::new(&program);
    // Nothing of the caller's own settings may change what runs; only the wish for other logs is passed on.
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "RUST_LOG"));
    command
        .env("LISTEN", format!("127.0.0.1:{}", settings.port))
        .env("METRICS_LISTEN", format!("127.0.0.1:{}", settings.metrics_port))
        .env("DATABASE_URL", &settings.database_url)
        .env("REDIS_URL", &settings.redis_url)
        .env("JWT_SECRET_FILE", secret("jwt"))
        .env("JWT_ISSUER", ISSUER)
        .env("JWT_AUDIENCE", AUDIENCE)
        .env("SERVICE_KEY_FILE", secret(&format!("{}.key", settings.service)))
        .env("SERVICE_PEERS_DIR", secret("peers"))
        .env("PAGE_TOKEN_SECRET_FILE", secret("page-token"))
        .env("QUOTA_ADDR", &settings.quota)
        .env("TENANT_ADDR", &settings.tenant)
        .env("REPLICAS", settings.replicas.to_string())
        // As in the image.
        .env("MALLOC_ARENA_MAX", "1")
        .env("LOG_FORMAT", "text");
    if let Some(folder) = &settings.tls {
        command
            .env("TLS_CERT_FILE", folder.join(format!("{}.crt", settings.service)))
            .env("TLS_KEY_FILE", folder.join(format!("{}.key", settings.service)))
            .env("TLS_CA_FILE", folder.join("ca.pem"))
            .env("TLS_CLIENT_CA_FILE", folder.join("ca.pem"))
            .env(
                "TLS_CLIENT_CERT_FILE",
                folder.join(format!("{}-client.crt", settings.service)),
            )
            .env(
                "TLS_CLIENT_KEY_FILE",
                folder.join(format!("{}-client.key", settings.service)),
            );
    }
    command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    Process::start(&format!("onekeel-{}", settings.service), command, &settings.log, None).await
}

/// The server's program: in `folder`, or else beside ours, or one folder up when we are a test.
fn program(service: &str, folder: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = folder {
        let program = folder.join(format!("onekeel-{service}"));
        anyhow::ensure!(program.is_file(), "onekeel-{service} is not in {}", folder.display());
        return Ok(program);
    }
    let own = std::env::current_exe()?;
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder: &Path| folder.join(format!("onekeel-{service}")));
    let found = beside.clone().find(|program| program.is_file());
    found.with_context(|| format!("onekeel-{service} is not built; run: cargo build --workspace --bins"))
}

async fn probe(address: &str, tls: Option<&Path>) -> anyhow::Result<bool> {
    let trusted = tls.map(|folder| std::fs::read_to_string(folder.join("ca.pem")));
    let channel = endpoint(address, trusted.transpose()?.as_deref())?.connect().await?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}
