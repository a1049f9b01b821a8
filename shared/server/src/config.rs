//! Everything that can be set about a server: flags, which are environment variables as well.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use onekeel_api::Network;
use onekeel_store::CachePolicy;
use onekeel_telemetry::LogFormat;

use crate::{KeySettings, Secret, SecretSource, Transport};

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
    /// Whose tokens are believed, and what this service signs with.
    #[command(flatten)]
    pub keys: KeySettings,
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
    /// Domain below which each tenant has the host `<slug>.<base domain>`; only the tenant server reads it.
    #[arg(long, env = "BASE_DOMAIN", value_name = "DOMAIN", value_parser = parse_domain)]
    pub base_domain: Option<String>,
    /// Hosts by which every tenant may call, with all below them; they name no tenant, also below the base domain. Only the
    /// tenant server reads it.
    #[arg(long, env = "SERVICE_HOSTS", value_name = "DOMAINS", value_delimiter = ',', default_value = "svc,cluster.local", value_parser = parse_domain)]
    pub service_hosts: Vec<String>,
    /// DNS server that the tenant server asks for the proofs of domains; those in `/etc/resolv.conf` unless it is set.
    #[arg(long, env = "DNS_SERVER", value_name = "ADDRESS:PORT")]
    pub dns_server: Option<SocketAddr>,
    /// Networks of the proxies whose `x-forwarded-for` and `x-forwarded-host` are believed, with commas between, for example
    /// `10.0.0.0/8,2001:db8::/32`. Whoever can connect from there can choose its address.
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
    /// Days for which the events of the audit trail are kept; the tenant server deletes older ones.
    #[arg(long, env = "AUDIT_RETENTION_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(30..=3650))]
    pub audit_retention_days: u16,
    /// Seconds for which a token is good that is given for an API key; only the tenant server reads it.
    #[arg(long, env = "API_KEY_TOKEN_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u16).range(60..=900))]
    pub api_key_token_seconds: u16,
    /// How connections are made and how long they live.
    #[command(flatten)]
    pub transport: Transport,
    /// Replicas of each tenant-facing service; shares the fallback of request allowances.
    #[arg(long, env = "REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub replicas: u32,
    /// Most database connections of this process: some more than it has processors, as a commit waits for the disk.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub max_connections: u32,
    /// What tenants may keep in Redis, as `<plan>=<entries>x<seconds>` with commas between; `*` stands for other plans.
    #[arg(
        long,
        env = "CACHE_POLICY",
        value_name = "SHARES",
        default_value = "basic=1000x30,professional=10000x30,*=50000x30"
    )]
    pub cache_policy: CachePolicy,
    /// Bytes of cached values that this process holds itself.
    #[arg(long, env = "CACHE_NEAR_BYTES", default_value_t = 2 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(65_536..=1_073_741_824))]
    pub cache_near_bytes: u64,
    /// Bytes of newest pages of leads that this process remembers, to send them again while they are true; only the lead
    /// server reads it.
    #[arg(long, env = "NEWEST_PAGES_BYTES", default_value_t = 16 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(0..=1_073_741_824))]
    pub newest_pages_bytes: u64,
    /// Most calls at once; more are refused with UNAVAILABLE.
    #[arg(long, env = "MAX_CALLS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_calls: u32,
    /// Seconds that calls may take to end after SIGTERM.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 30)]
    pub drain_seconds: u64,
    /// `text` or `json`.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    /// Which logs: a level, or `<module>=<level>` with commas between, for example `info,onekeel_quota=debug`.
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
