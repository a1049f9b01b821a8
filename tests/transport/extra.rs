//! One more LeadService beside the suite's, with certificates and settings of its own.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_operator::private::free_port;
use onekeel_operator::stack::{Certificates, Server, Settings, endpoint, signed};
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, scrape};
use tonic::Request;
use tonic::transport::Channel;

static NUMBER: AtomicUsize = AtomicUsize::new(1);
const LONGEST_CHANGE: Duration = Duration::from_secs(20);

pub struct Extra {
    pub server: Server,
    /// What it reads; it trusts its own authority and the suite's.
    pub certificates: Certificates,
    /// Authorities that it trusts, in PEM.
    pub trusted: String,
    metrics: u16,
}

impl Extra {
    pub async fn start(world: &World, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let stack = &world.stack;
        let replica = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = stack.folder().join(format!("extra-{replica}"));
        let mut certificates = Certificates::generate(&folder)?;
        let suite = stack.certificates.as_ref().context("the suite speaks TLS")?;
        let trusted = format!("{}{}", certificates.authority.pem, suite.authority.pem);
        let mut files = signed(&certificates.authority, &trusted)?;
        // To the suite's servers it shows what their authority has signed.
        let shown = suite.authority.issue_to("lead")?;
        files.retain(|(name, _)| !name.starts_with("lead-client."));
        files.push(("lead-client.crt".to_owned(), shown.certificate));
        files.push(("lead-client.key".to_owned(), shown.key));
        certificates.publish(&files)?;
        let (metrics, peer) = (free_port()?, |service| stack.address(service, 0));
        let mut own: Vec<(String, String)> = vec![("TLS_RELOAD_SECONDS".to_owned(), "1".to_owned())];
        own.extend(
            environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let settings = Settings {
            service: "lead",
            replica,
            port: free_port()?,
            metrics_port: metrics,
            database_url: stack.database.url_for("lead")?,
            redis_url: world.backing.redis_url.clone(),
            secrets: stack.secrets.folder.clone(),
            quota: format!("https://{}", peer("quota")?),
            tenant: format!("https://{}", peer("tenant")?),
            tls: Some(certificates.current()),
            replicas: 1,
            environment: own,
            programs: None,
            log: folder.join("log"),
        };
        let mut server = Server::start(settings).await?;
        server.wait_until_serving().await?;
        Ok(Self {
            server,
            certificates,
            trusted,
            metrics,
        })
    }

    /// A connection that trusts what the server itself trusts.
    pub fn channel(&self) -> anyhow::Result<Channel> {
        Ok(endpoint(&self.server.address(), Some(&self.trusted))?.connect_lazy())
    }

    pub fn leads(&self) -> anyhow::Result<LeadServiceClient<Channel>> {
        Ok(LeadServiceClient::new(self.channel()?))
    }

    /// A sample of its metrics: the line that begins with `series`, or 0.
    pub async fn metric(&self, series: &str) -> anyhow::Result<f64> {
        let text = scrape(&format!("127.0.0.1:{}", self.metrics)).await?;
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        Ok(line.map(|value| value.trim().parse()).transpose()?.unwrap_or_default())
    }

    /// Waits until a counter is above `before`.
    pub async fn wait_for_more(&self, series: &str, before: f64) -> anyhow::Result<f64> {
        let deadline = tokio::time::Instant::now() + LONGEST_CHANGE;
        let mut round = tokio::time::interval(Duration::from_millis(100));
        loop {
            round.tick().await;
            let now = self.metric(series).await?;
            if now > before {
                return Ok(now);
            }
            ensure!(tokio::time::Instant::now() < deadline, "{series} stays at {now}");
        }
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        ensure!(self.server.stop().await?, "the server did not end by itself");
        Ok(())
    }
}

/// A request of the member's administrator.
pub fn request<T>(world: &World, member: &Member, message: T) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    let token = world.stack.token(Some(member.id), Role::Admin)?;
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    request.set_timeout(Duration::from_secs(30));
    Ok(request)
}
