//! A server of the suite: whether it is ready, and how long its certificate is good.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use onekeel_operator::stack::endpoint;
use onekeel_server::transport::{Authorities, expiry};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Uri;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::findings::{Findings, Status};
use crate::commands::WrongUsage;

const LONGEST: Duration = Duration::from_secs(5);
const DAY: u64 = 86_400;
const SOON: Duration = Duration::from_secs(14 * DAY);

/// Where a server is, and what is trusted there.
pub struct Place {
    host: String,
    port: u16,
    /// PEM; plain text without it.
    trusted: Option<String>,
}

/// The servers that `--server` names.
pub fn parse(addresses: &[String], ca: Option<&Path>) -> Result<Vec<Place>, WrongUsage> {
    let pem = ca.map(|path| {
        let read = std::fs::read_to_string(path);
        read.map_err(|error| WrongUsage(format!("--ca: cannot read {}: {error}", path.display())))
    });
    let pem = pem.transpose()?;
    let place = |address: &String| {
        let wrong = || {
            WrongUsage(format!(
                "--server {address}: must be http://host:port or https://host:port"
            ))
        };
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(wrong());
        };
        let trusted = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let needed = || WrongUsage(format!("--server {address}: https:// needs --ca or TLS_CA_FILE"));
                Some(pem.clone().ok_or_else(needed)?)
            }
            _ => return Err(wrong()),
        };
        Ok(Place {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            trusted,
        })
    };
    addresses.iter().map(place).collect()
}

impl Place {
    /// Health, and the certificate where there is one.
    pub async fn look(&self, findings: &mut Findings) {
        let address = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let name = format!("server.{address}.health");
        match tokio::time::timeout(LONGEST, self.health(&address)).await {
            Ok(Ok(ServingStatus::Serving)) => findings.ok(name, "is ready"),
            Ok(Ok(_)) => findings.failure(
                name,
                "runs and is not ready",
                "see its log; it is ready when its database answers",
            ),
            Ok(Err(error)) => findings.failure(name, format!("{error:#}"), "check the address, the server and its log"),
            Err(_) => findings.failure(
                name,
                "no answer within 5 s",
                "check the address, the server and its log",
            ),
        }
        if self.trusted.is_some() {
            let name = format!("server.{address}.certificate");
            match tokio::time::timeout(LONGEST, self.certificate()).await {
                Ok(Ok(expires)) => judge_expiry(findings, name, expires),
                Ok(Err(error)) => {
                    findings.failure(name, format!("{error:#}"), "check --ca and the server's TLS_CERT_FILE");
                }
                Err(_) => findings.failure(name, "no handshake within 5 s", "check that the server speaks TLS"),
            }
        }
    }

    async fn health(&self, address: &str) -> anyhow::Result<ServingStatus> {
        let channel = endpoint(address, self.trusted.as_deref())?.connect().await?;
        let request = HealthCheckRequest { service: String::new() };
        Ok(HealthClient::new(channel).check(request).await?.into_inner().status())
    }

    /// When the certificate that the server shows expires.
    async fn certificate(&self) -> anyhow::Result<SystemTime> {
        let trusted = Authorities::parse(self.trusted.as_deref().unwrap_or_default().as_bytes())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore { roots: trusted.anchors })
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let name = ServerName::try_from(self.host.clone())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        expiry(
            shown
                .and_then(<[_]>::first)
                .context("the server showed no certificate")?,
        )
    }
}

fn judge_expiry(findings: &mut Findings, name: String, expires: SystemTime) {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    let status = if left < SOON { Status::Warning } else { Status::Ok };
    let seen = format!("is good for {} days", left.as_secs() / DAY);
    findings.judge(
        name,
        status,
        seen,
        "renew it and put the new pair into its files; the server takes it without a restart",
    );
}
