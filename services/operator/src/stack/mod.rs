//! The suite on this machine: a database of its own, and every server as a process.

mod database;
mod secrets;
mod server;

pub use database::{Database, password_variable};
pub use secrets::Secrets;
pub use server::{SERVICES, Server, Settings};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use onekeel_api::ClientId;
use onekeel_tenancy::{Role, UserToken, issue_user_token};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::private::{Backing, open_folder};

/// Issuer and audience of the tokens that a stack makes for itself.
pub const ISSUER: &str = "onekeel-dev";
/// See [`ISSUER`].
pub const AUDIENCE: &str = "onekeel";
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// How many processes of each service run, and what is special about them.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Processes by service, where it is not one.
    pub replicas: BTreeMap<&'static str, usize>,
    /// Environment variables that every server gets besides.
    pub environment: Vec<(String, String)>,
    /// Whether every server serves `/metrics` on a port of its own.
    pub metrics: bool,
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

    /// Lets every server serve `/metrics`.
    #[must_use]
    pub fn with_metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// Gives every server an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running suite. Dropped, its servers are killed and its database is dropped by [`Stack::stop`] only.
pub struct Stack {
    /// Secrets of this run.
    pub secrets: Secrets,
    /// The suite's own database.
    pub database: Database,
    servers: Vec<Server>,
    folder: TempDir,
}

impl Stack {
    /// Makes a database, migrates it and starts the servers of `plan`; returns when all of them serve.
    pub async fn start(backing: &Backing, plan: &Plan) -> anyhow::Result<Self> {
        let folder = open_folder()?;
        let secrets = Secrets::generate(&folder.path().join("secrets"))?;
        let database = Database::create(&backing.database_url).await?;
        let mut stack = Self {
            secrets,
            database,
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
        let addresses = |wanted: &str| {
            let fit = ports.iter().filter(|(service, ..)| *service == wanted);
            fit.map(|(_, _, port)| format!("http://127.0.0.1:{port}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        for (service, replica, port) in &ports {
            let settings = Settings {
                service,
                replica: *replica,
                port: *port,
                database_url: self.database.url_for(service)?,
                redis_url: backing.redis_url.clone(),
                secrets: self.secrets.folder.clone(),
                quota: addresses("quota"),
                tenant: addresses("tenant"),
                replicas: plan.replicas_of("lead"),
                metrics: plan.metrics.then(crate::private::free_port).transpose()?,
                environment: plan.environment.clone(),
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

    /// `host:port` of a process's `/metrics`.
    pub fn metrics_address(&self, service: &str, replica: usize) -> anyhow::Result<String> {
        let found = self.servers.iter().find(|server| server.is(service, replica));
        found
            .and_then(Server::metrics_address)
            .with_context(|| format!("process {replica} of {service} serves no metrics"))
    }

    /// A connection to a process, made when first used.
    pub fn channel(&self, service: &str, replica: usize) -> anyhow::Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address(service, replica)?))?;
        Ok(endpoint
            .connect_timeout(LONGEST_CONNECT)
            .tcp_nodelay(true)
            .connect_lazy())
    }

    /// A user's token for this stack: of a tenant, or of the platform without one.
    pub fn token(&self, client: Option<ClientId>, role: Role) -> anyhow::Result<String> {
        let user = format!("dev-{role}");
        let token = UserToken {
            issuer: ISSUER,
            audience: AUDIENCE,
            client,
            user: &user,
            role,
            scope: None,
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
