//! `onekeel doctor`
mod clock;
mod database;
mod evidence;
mod findings;
mod redis;
mod report;
mod roles;
mod server;
mod walls;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use onekeel_server::{Secret, SecretSource};

use self::findings::Findings;
use super::{WrongUsage, print_json};

/// Looks at a running deployment and says what is wrong with it and what to do; changes nothing.
///
/// PostgreSQL: reachable, version, clock, connections, migrations, roles, rights, policies, long transactions, age of
/// transaction ids and multixacts. Redis: reachable, version, eviction, clock. Servers: health, certificate.
#[derive(Args)]
#[command(after_help = "Examples:
  DATABASE_URL=postgres://owner@db/onekeel REDIS_URL=redis://cache onekeel doctor
  onekeel doctor --server http://lead:50051 --server https://quota:50051 --ca ca.pem
  onekeel doctor --report walls.md       keeps what the database's catalogue says, for an auditor
  onekeel doctor --json | jq '.checks[] | select(.status != \"ok\")'

Exit codes: 0 no failure (warnings are allowed), 1 at least one failure, 2 wrong usage.")]
pub struct Doctor {
    /// PostgreSQL; the login that migrates sees everything, a service's login only its own part.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<Secret>,
    /// File that holds DATABASE_URL.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    /// Redis.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<Secret>,
    /// File that holds REDIS_URL.
    #[arg(long, env = "REDIS_URL_FILE", value_name = "FILE")]
    redis_url_file: Option<PathBuf>,
    /// A server, as `http://host:port` or `https://host:port`; may be repeated.
    #[arg(long = "server", value_name = "URL")]
    servers: Vec<String>,
    /// Authorities in PEM that sign the certificates of `https://` servers.
    #[arg(long, env = "TLS_CA_FILE", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Database connections that all servers together may open: the sum of their MAX_CONNECTIONS.
    #[arg(long, value_name = "NUMBER")]
    pools: Option<i64>,
    /// Writes what the database's catalogue says of the walls between tenants, as Markdown to keep: each table with its
    /// policy and keys, each login with its rights, each function that passes on rights, and what was tried. Needs the
    /// login that migrates.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let database_url = required(
            "DATABASE_URL",
            self.database_url.as_ref(),
            self.database_url_file.as_ref(),
        )?;
        let redis_url = required("REDIS_URL", self.redis_url.as_ref(), self.redis_url_file.as_ref())?;
        let servers = server::parse(&self.servers, self.ca.as_deref())?;
        let mut findings = Findings::default();
        database::look(&mut findings, database_url.expose(), self.pools).await;
        redis::look(&mut findings, redis_url.expose()).await;
        for server in &servers {
            server.look(&mut findings).await;
        }
        if let Some(file) = &self.report {
            report::write(&mut findings, database_url.expose(), file).await;
        }
        if self.json {
            print_json(&findings.report())?;
        } else {
            print!("{}", findings.text());
        }
        Ok(if findings.have_failure() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn required(name: &'static str, value: Option<&Secret>, file: Option<&PathBuf>) -> Result<Secret, WrongUsage> {
    let source = SecretSource { name, value, file };
    source.required().map_err(|error| WrongUsage(format!("{error:#}")))
}
