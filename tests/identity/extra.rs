//! One more server beside the suite's, with keys of its own choice.
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_operator::private::free_port;
use onekeel_operator::stack::{Server, Settings, endpoint};
use onekeel_tests::{World, scrape, values};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

static NUMBER: AtomicUsize = AtomicUsize::new(1);
pub const LONGEST_CHANGE: Duration = Duration::from_secs(30);

pub struct Extra {
    pub server: Server,
    pub folder: PathBuf,
    leads: LeadServiceClient<Channel>,
}

/// A folder of its own below the suite's, and the number that it goes by.
pub fn folder(world: &World) -> anyhow::Result<(PathBuf, usize)> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = world.stack.folder().join(format!("identity-{number}"));
    std::fs::create_dir(&folder)?;
    Ok((folder, number))
}

impl Extra {
    /// A LeadService with these settings besides the usual ones; it need not come up.
    pub async fn launch(world: &World, environment: &[(&str, String)]) -> anyhow::Result<Self> {
        let (folder, number) = folder(world)?;
        let peer = |service| Ok::<_, anyhow::Error>(format!("http://{}", world.stack.address(service, 0)?));
        let owned = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        let settings = Settings {
            service: "lead",
            replica: number,
            port: free_port()?,
            metrics_port: free_port()?,
            database_url: world.stack.database.url_for("lead")?,
            redis_url: world.backing.redis_url.clone(),
            secrets: world.stack.secrets.folder.clone(),
            quota: peer("quota")?,
            tenant: peer("tenant")?,
            tls: None,
            replicas: 1,
            environment: environment.iter().map(owned).collect(),
            programs: None,
            log: folder.join("log"),
        };
        let server = Server::start(settings).await?;
        let leads = LeadServiceClient::new(endpoint(&server.address(), None)?.connect_lazy());
        Ok(Self { server, folder, leads })
    }

    pub async fn start(world: &World, environment: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut extra = Self::launch(world, environment).await?;
        extra.server.wait_until_serving().await?;
        Ok(extra)
    }

    /// CountLeads with this token, whatever it is made of.
    pub async fn call(&self, token: impl AsRef<[u8]>) -> anyhow::Result<Result<i64, Status>> {
        let mut request = Request::new(CountLeadsRequest {});
        request.set_timeout(Duration::from_secs(20));
        let authorization = [b"Bearer ", token.as_ref()].concat();
        let value = MetadataValue::try_from(authorization.as_slice())?;
        request.metadata_mut().insert("authorization", value);
        let answer = self.leads.clone().count_leads(request).await;
        Ok(answer.map(|answer| answer.into_inner().count))
    }

    /// Whether the token is believed; any other refusal than that of a bad token is an error.
    pub async fn believes(&self, token: &str) -> anyhow::Result<bool> {
        match self.call(token).await? {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::Unauthenticated => Ok(false),
            Err(status) => Err(status.into()),
        }
    }

    /// The sum of a metric's series that have all these labels.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
        let text = scrape(&self.server.metrics_address()).await?;
        Ok(values(&text, name, labels).iter().sum())
    }

    /// Waits until a metric is as it should be.
    pub async fn wait_for(&self, name: &str, labels: &[&str], fits: impl Fn(f64) -> bool) -> anyhow::Result<f64> {
        let deadline = tokio::time::Instant::now() + LONGEST_CHANGE;
        let mut round = tokio::time::interval(Duration::from_millis(50));
        loop {
            round.tick().await;
            let value = self.metric(name, labels).await?;
            if fits(value) {
                return Ok(value);
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{name} {labels:?} stays at {value}"
            );
        }
    }

    pub async fn failures(&self, source: &str) -> anyhow::Result<f64> {
        self.metric("onekeel_key_reload_failures_total", &[source]).await
    }

    /// Waits until a source has failed once more than `before`.
    pub async fn wait_for_failure(&self, source: &str, before: f64) -> anyhow::Result<f64> {
        let more = |failures| failures > before;
        self.wait_for("onekeel_key_reload_failures_total", &[source], more)
            .await
    }

    /// Waits until so many keys of users are in use.
    pub async fn wait_for_keys(&self, number: usize) -> anyhow::Result<()> {
        let all = |keys: f64| (keys - number as f64).abs() < 0.5;
        self.wait_for("onekeel_keys", &["of=\"users\""], all).await?;
        Ok(())
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        ensure!(self.server.stop().await?, "the server did not end by itself");
        Ok(())
    }
}
