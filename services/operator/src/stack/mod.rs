//! The suite on this machine: a database of its own, and every server as a process.

mod certificates;
mod connect;
mod database;
mod secrets;
mod server;

pub use certificates::{Authority, Certificates, Pair, signed};
pub use connect::endpoint;
pub use database::Database;
pub use secrets::{AUDIENCE, ISSUER, Secrets};
pub use server::{Server, Settings};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use onekeel_api::ClientId;
use onekeel_tenancy::{Role, UserToken, issue_user_token};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::private::{Backing, open_folder};
use crate::services::SERVICES;

const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);

/// How many processes of each service run, and what is special about them.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Processes by service, where it is not one.
    pub replicas: BTreeMap<&'static str, usize>,
    /// Environment variables that every server gets besides.
    pub environment: Vec<(String, String)>,
    /// Environment variables that single processes get besides, by service and number.
    pub own_environment: Vec<(&'static str, usize, String, String)>,
    /// Whether servers are reached by TLS only, with certificates of an authority of this run.
    pub tls: bool,
    /// Where the servers' programs are, when not beside ours.
    pub programs: Option<PathBuf>,
}

impl Plan {
    /// Sets the number of processes of `service`.
    #[must_use]
    pub fn with(mut self, service: &'static str, processes: usize) -> Self {
        self.replicas.insert(service, processes);
        self
    }

    fn replicas_of(&self, service: &str) -> usize {
        self.replicas.get(service).copied().unwrap_or(1)
    }

    /// Gives every server an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives one process an environment variable.
    #[must_use]
    pub fn with_env_of(mut self, service: &'static str, replica: usize, name: &str, value: &str) -> Self {
        self.own_environment
            .push((service, replica, name.to_owned(), value.to_owned()));
        self
    }

    fn environment_of(&self, service: &str, replica: usize) -> Vec<(String, String)> {
        let own = self
            .own_environment
            .iter()
            .filter(|(of, number, ..)| *of == service && *number == replica);
        let own = own.map(|(_, _, name, value)| (name.clone(), value.clone()));
        self.environment.iter().cloned().chain(own).collect()
    }

    /// Lets the servers speak TLS, with callers and with one another.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }
}

/// A running suite. Dropped, its servers are killed and its database is dropped by [`Stack::stop`] only.
pub struct Stack {
    /// Secrets of this run.
    pub secrets: Secrets,
    /// The suite's own database.
    pub database: Database,
    /// Certificates of this run, when its servers speak TLS.
    pub certificates: Option<Certificates>,
    servers: Vec<Server>,
    folder: TempDir,
}

impl Stack {
    /// Makes a database, migrates it and starts the servers of `plan`; returns when all of them serve.
    pub async fn start(backing: &Backing, plan: &Plan) -> anyhow::Result<Self> {
        let folder = open_folder()?;
        let secrets = Secrets::generate(&folder.path().join("secrets"))?;
        let tls = plan.tls.then(|| Certificates::generate(&folder.path().join("tls")));
        let certificates = tls.transpose()?;
        let database = Database::create(&backing.database_url).await?;
        let mut stack = Self {
            secrets,
            database,
            certificates,
            servers: Vec::new(),
            folder,
        };
        match stack.launch(backing, plan).await {
            Ok(()) => Ok(stack),
            Err(error) => {
                stack.stop().await.context(error.to_string())?;
                Err(error)
            }
        }
    }

    async fn launch(&mut self, backing: &Backing, plan: &Plan) -> anyhow::Result<()> {
        let mut ports = Vec::new();
        for service in SERVICES {
            for replica in 0..plan.replicas_of(service) {
                ports.push((service, replica, crate::private::free_port()?));
            }
        }
        let scheme = if plan.tls { "https" } else { "http" };
        let addresses = |wanted: &str| {
            let fit = ports.iter().filter(|(service, ..)| *service == wanted);
            fit.map(|(_, _, port)| format!("{scheme}://127.0.0.1:{port}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        for (service, replica, port) in &ports {
            let settings = Settings {
                service,
                replica: *replica,
                port: *port,
                metrics_port: crate::private::free_port()?,
                database_url: self.database.url_for(service)?,
                redis_url: backing.redis_url.clone(),
                secrets: self.secrets.folder.clone(),
                quota: addresses("quota"),
                tenant: addresses("tenant"),
                tls: self.certificates.as_ref().map(Certificates::current),
                replicas: plan.replicas_of("lead"),
                environment: plan.environment_of(service, *replica),
                programs: plan.programs.clone(),
                log: self.folder.path().join(format!("{service}-{replica}.log")),
            };
            self.servers.push(Server::start(settings).await?);
        }
        for server in &mut self.servers {
            server.wait_until_serving().await?;
        }
        Ok(())
    }

    /// The process `replica` of `service`.
    pub fn server(&mut self, service: &str, replica: usize) -> anyhow::Result<&mut Server> {
        let found = self.servers.iter_mut().find(|server| server.is(service, replica));
        found.with_context(|| format!("no process {replica} of {service}"))
    }

    /// Every process.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    /// `host:port` of a process.
    pub fn address(&self, service: &str, replica: usize) -> anyhow::Result<String> {
        let found = self.servers.iter().find(|server| server.is(service, replica));
        Ok(found
            .with_context(|| format!("no process {replica} of {service}"))?
            .address())
    }

    /// A connection to a process, made when first used.
    pub fn channel(&self, service: &str, replica: usize) -> anyhow::Result<Channel> {
        let trusted = self.certificates.as_ref().map(Certificates::trusted);
        let trusted = trusted.map(std::fs::read_to_string).transpose()?;
        Ok(endpoint(&self.address(service, replica)?, trusted.as_deref())?.connect_lazy())
    }

    /// A user's token for this stack: of a tenant, or of the platform without one.
    pub fn token(&self, client: Option<ClientId>, role: Role) -> anyhow::Result<String> {
        self.issue(client, role, None)
    }

    /// A token of a tenant's user, narrowed to the permissions in `scope`.
    pub fn scoped_token(&self, client: ClientId, role: Role, scope: &str) -> anyhow::Result<String> {
        self.issue(Some(client), role, Some(scope))
    }

    fn issue(&self, client: Option<ClientId>, role: Role, scope: Option<&str>) -> anyhow::Result<String> {
        let user = format!("dev-{role}");
        let token = UserToken {
            issuer: ISSUER,
            audience: AUDIENCE,
            client,
            user: &user,
            role,
            scope,
            life: TOKEN_LIFE,
        };
        Ok(issue_user_token(self.secrets.jwt.as_bytes(), &token)?)
    }

    /// The folder with logs and secrets of this run.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Ends the servers in order and drops the database.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for server in &mut self.servers {
            server.stop().await?;
        }
        self.database.remove().await
    }
}
