//! Everything that can be set about a server: flags, which are environment variables as well.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use onekeel_telemetry::LogFormat;
use onekeel_tenancy::{Signer, Verifier, VerifierConfig, VerifyingKey};

use crate::{Secret, SecretSource, Transport};

const SHORTEST_PAGE_SECRET: usize = 32;

/// A server of the OneKeel suite. Every flag is an environment variable as well; secrets can also be read from files.
#[derive(Parser, Debug, Clone)]
#[command(version, max_term_width = 110)]
pub struct Config {
    /// Address to listen on.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// PostgreSQL, with this service's own login; required, here or in a file.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<Secret>,
    /// File that holds DATABASE_URL.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Redis; required, here or in a file.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<Secret>,
    /// File that holds REDIS_URL.
    #[arg(long, env = "REDIS_URL_FILE", value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,
    /// Secret of users' tokens signed with HS256, at least 32 bytes; required where there is no JWT_PUBLIC_KEY_FILE.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret: Option<Secret>,
    /// File that holds JWT_SECRET.
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// Public keys of users' tokens in PEM: Ed25519, P-256 or RSA; several with commas between.
    #[arg(long, env = "JWT_PUBLIC_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    pub jwt_public_key_file: Vec<PathBuf>,
    /// Issuer of users' tokens.
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: String,
    /// Audience of users' tokens.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "onekeel")]
    pub jwt_audience: String,
    /// This service's own private key in PEM (Ed25519, PKCS#8), for calls to other services;
    /// required, here or in a file.
    #[arg(long, env = "SERVICE_KEY", hide_env_values = true, value_name = "PEM")]
    pub service_key: Option<Secret>,
    /// File that holds SERVICE_KEY.
    #[arg(long, env = "SERVICE_KEY_FILE", value_name = "FILE")]
    pub service_key_file: Option<PathBuf>,
    /// Folder with the services' public keys, one `<service>.pub` each.
    #[arg(long, env = "SERVICE_PEERS_DIR", value_name = "FOLDER")]
    pub service_peers_dir: PathBuf,
    /// Secret that signs page tokens, at least 32 bytes, the same in all replicas; required, here or in a file.
    #[arg(long, env = "PAGE_TOKEN_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub page_token_secret: Option<Secret>,
    /// File that holds PAGE_TOKEN_SECRET.
    #[arg(long, env = "PAGE_TOKEN_SECRET_FILE", value_name = "FILE")]
    pub page_token_secret_file: Option<PathBuf>,
    /// QuotaService, as `http://host:port` or `https://host:port`; several with commas between.
    #[arg(long, env = "QUOTA_ADDR", value_delimiter = ',', required = true)]
    pub quota_addr: Vec<String>,
    /// TenantService, as `http://host:port` or `https://host:port`; several with commas between.
    #[arg(long, env = "TENANT_ADDR", value_delimiter = ',', required = true)]
    pub tenant_addr: Vec<String>,
    /// Domain below which each tenant has the host `<slug>.<base domain>`; the tenant server resolves hosts with it.
    #[arg(long, env = "BASE_DOMAIN", value_name = "DOMAIN", value_parser = parse_domain)]
    pub base_domain: Option<String>,
    /// How connections are made and how long they live.
    #[command(flatten)]
    pub transport: Transport,
    /// Replicas of each tenant-facing service; shares the fallback of request allowances.
    #[arg(long, env = "REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub replicas: u32,
    /// Most database connections of this process.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub max_connections: u32,
    /// Most calls at once; more are refused with UNAVAILABLE.
    #[arg(long, env = "MAX_CALLS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_calls: u32,
    /// Seconds that calls may take to end after SIGTERM.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 30)]
    pub drain_seconds: u64,
    /// `text` or `json`.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    /// Which logs.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log: String,
    /// OTLP receiver of traces (gRPC), for example `http://localhost:4317`.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of calls that start a trace, 0 to 1; calls that belong to a sampled trace are always recorded.
    #[arg(long, env = "TRACE_SAMPLE_RATIO", default_value_t = 0.01, value_parser = parse_share)]
    pub trace_sample_ratio: f64,
    /// Where Prometheus scrapes `/metrics`.
    #[arg(long, env = "METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Tenants that metrics show one by one, those that call most; the others share one label.
    #[arg(long, env = "METRICS_TENANTS", default_value_t = 50, value_parser = clap::value_parser!(u16).range(..=1000))]
    pub metrics_tenants: u16,
    /// Checks configuration, keys and database, prints what would run, and ends.
    #[arg(long)]
    pub check: bool,
}

impl Config {
    /// The database's address.
    pub fn database_url(&self) -> anyhow::Result<Secret> {
        source(
            "DATABASE_URL",
            self.database_url.as_ref(),
            self.database_url_file.as_ref(),
        )
        .required()
    }

    /// Redis' address.
    pub fn redis_url(&self) -> anyhow::Result<Secret> {
        source("REDIS_URL", self.redis_url.as_ref(), self.redis_url_file.as_ref()).required()
    }

    /// The secret of page tokens.
    pub fn page_token_secret(&self) -> anyhow::Result<Secret> {
        let given = (self.page_token_secret.as_ref(), self.page_token_secret_file.as_ref());
        let secret = source("PAGE_TOKEN_SECRET", given.0, given.1).required()?;
        anyhow::ensure!(
            secret.expose().len() >= SHORTEST_PAGE_SECRET,
            "PAGE_TOKEN_SECRET needs at least {SHORTEST_PAGE_SECRET} bytes"
        );
        Ok(secret)
    }

    /// The signer of this service's calls to others.
    pub fn signer(&self, service: &str) -> anyhow::Result<Signer> {
        let key = source("SERVICE_KEY", self.service_key.as_ref(), self.service_key_file.as_ref()).required()?;
        Signer::from_pem(service, key.expose()).context("SERVICE_KEY")
    }

    /// The verifier of every token.
    pub fn verifier(&self) -> anyhow::Result<Verifier> {
        let mut keys = Vec::new();
        let secret = source("JWT_SECRET", self.jwt_secret.as_ref(), self.jwt_secret_file.as_ref()).optional()?;
        if let Some(secret) = secret {
            keys.push(VerifyingKey::hs256(secret.expose().as_bytes()).context("JWT_SECRET")?);
        }
        for file in &self.jwt_public_key_file {
            let pem = std::fs::read_to_string(file);
            let pem = pem.with_context(|| format!("JWT_PUBLIC_KEY_FILE: cannot read {}", file.display()))?;
            keys.push(VerifyingKey::from_pem(&pem).with_context(|| format!("JWT_PUBLIC_KEY_FILE {}", file.display()))?);
        }
        let config = VerifierConfig {
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            keys,
            peers: self.peers()?,
        };
        Verifier::new(config).context("set JWT_SECRET, JWT_SECRET_FILE or JWT_PUBLIC_KEY_FILE")
    }

    fn peers(&self) -> anyhow::Result<Vec<(String, VerifyingKey)>> {
        let folder = &self.service_peers_dir;
        let listed = std::fs::read_dir(folder);
        let listed = listed.with_context(|| format!("SERVICE_PEERS_DIR: cannot read {}", folder.display()))?;
        let mut peers = Vec::new();
        for entry in listed {
            let path = entry?.path();
            let (Some(name), true) = (path.file_stem(), path.extension().is_some_and(|ext| ext == "pub")) else {
                continue;
            };
            let shown = path.display();
            let pem = std::fs::read_to_string(&path).with_context(|| format!("cannot read {shown}"))?;
            let key = VerifyingKey::from_pem(&pem).with_context(|| format!("service key {shown}"))?;
            peers.push((name.to_string_lossy().into_owned(), key));
        }
        anyhow::ensure!(
            !peers.is_empty(),
            "SERVICE_PEERS_DIR: {} holds no `<service>.pub`",
            folder.display()
        );
        Ok(peers)
    }

    /// How long calls may take to end after SIGTERM.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn parse_domain(text: &str) -> Result<String, String> {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("must be a domain, for example example.com".to_owned())
}

fn source<'a>(name: &'static str, value: Option<&'a Secret>, file: Option<&'a PathBuf>) -> SecretSource<'a> {
    SecretSource { name, value, file }
}
