//! The servers that only the benchmark has: the bare echo, the echo behind the product's layers, naive variants, and a lead
//! server that remembers no page.
use anyhow::Context;
use onekeel_operator::private::free_port;
use onekeel_operator::stack::{Server, Settings};

use super::World;
use crate::processor::Watched;

/// The service that a program stands for: whose login and key it has.
fn stands_for(name: &str) -> &'static str {
    if name == "bench-naive" { "quota" } else { "lead" }
}

/// A running server of the benchmark's own.
pub struct Program {
    server: Server,
    counts: String,
    watched: Watched,
}

impl Program {
    /// Starts `onekeel-<name>` beside the servers of `world`.
    pub async fn start(name: &'static str, world: &mut World) -> anyhow::Result<Self> {
        let stack = &world.stack;
        let service = stands_for(name);
        let address = |service: &str| Ok::<_, anyhow::Error>(format!("http://{}", stack.address(service, 0)?));
        let counts = format!("127.0.0.1:{}", free_port()?);
        let key = stack.secrets.folder.join(format!("{service}.key"));
        let settings = Settings {
            service: name,
            replica: 0,
            port: free_port()?,
            metrics_port: free_port()?,
            database_url: stack.database.url_for(service)?,
            redis_url: world.redis_url.clone(),
            secrets: stack.secrets.folder.clone(),
            quota: address("quota")?,
            tenant: address("tenant")?,
            tls: None,
            replicas: 1,
            environment: vec![
                ("SERVICE_KEY_FILE".to_owned(), key.display().to_string()),
                ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), world.receiver.endpoint()),
                ("BENCH_COUNTS".to_owned(), counts.clone()),
                ("NEWEST_PAGES_BYTES".to_owned(), "0".to_owned()),
            ],
            programs: Some(world.programs.clone()),
            log: world.folder().join(format!("{name}.log")),
        };
        let mut server = Server::start(settings).await?;
        server.wait_until_serving().await?;
        let watched = Watched {
            server: Some(server.process().id().context("it has just answered")?),
            peers: world.peers()?,
        };
        Ok(Self {
            server,
            counts,
            watched,
        })
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Where the counting one tells its counts.
    pub fn counts(&self) -> &str {
        &self.counts
    }

    /// Its process, and those that it asks.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.server.stop().await?;
        Ok(())
    }
}
