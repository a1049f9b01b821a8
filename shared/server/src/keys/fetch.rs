//! One look at a key set's address: bounded in time and size, and never led elsewhere.
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use onekeel_tenancy::LARGEST_KEY_SET;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::transport::Authorities;

/// From the first byte to the last.
const LONGEST: Duration = Duration::from_secs(5);
const LARGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// Where a key set is published.
pub(super) struct Address {
    uri: Uri,
    /// Without the brackets of an IPv6 address.
    host: String,
    secure: bool,
    ca: Option<PathBuf>,
}

impl Address {
    pub fn parse(url: &str, allow_http: bool, ca: Option<PathBuf>) -> anyhow::Result<Self> {
        let uri: Uri = url
            .parse()
            .context("JWT_JWKS_URL is no address such as https://id.example.com/keys")?;
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        ensure!(!authority.contains('@'), "JWT_JWKS_URL must not hold a login");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        ensure!(!host.is_empty(), "JWT_JWKS_URL names no host");
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if loopback || allow_http => false,
            Some("http") => {
                bail!("JWT_JWKS_URL must be https://; JWT_JWKS_ALLOW_HTTP admits http:// to another machine")
            }
            _ => bail!("JWT_JWKS_URL must begin with https://"),
        };
        Ok(Self { uri, host, secure, ca })
    }

    /// What is published there now.
    pub async fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        let fetched = tokio::time::timeout(LONGEST, self.get()).await;
        fetched.unwrap_or_else(|_| bail!("no complete answer within {} s", LONGEST.as_secs()))
    }

    async fn get(&self) -> anyhow::Result<Vec<u8>> {
        let port = self.uri.port_u16().unwrap_or(if self.secure { HTTPS } else { HTTP });
        let stream = TcpStream::connect((self.host.as_str(), port))
            .await
            .context("cannot connect")?;
        if !self.secure {
            return self.ask(stream).await;
        }
        let name = ServerName::try_from(self.host.clone()).context("the host fits no certificate")?;
        let stream = self.connector()?.connect(name, stream).await.context("TLS")?;
        self.ask(stream).await
    }

    /// Made anew each time: looks are rare, and a new authority counts at once.
    fn connector(&self) -> anyhow::Result<TlsConnector> {
        let roots = match &self.ca {
            None => webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            Some(file) => {
                let pem = std::fs::read(file);
                let pem = pem.with_context(|| format!("JWT_JWKS_CA_FILE: cannot read {}", file.display()))?;
                Authorities::parse(&pem).context("JWT_JWKS_CA_FILE")?.anchors
            }
        };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore { roots })
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    async fn ask<S>(&self, stream: S) -> anyhow::Result<Vec<u8>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        http.max_buf_size(LARGEST_HEAD).max_headers(MOST_HEADERS);
        let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        // Ends with this look, whatever comes of it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let answer = sender.send_request(self.request()?).await.context("no answer")?;
        ensure!(
            answer.status() == StatusCode::OK,
            "the answer is {}; redirects are not followed",
            answer.status()
        );
        let body = Limited::new(answer.into_body(), LARGEST_KEY_SET).collect().await;
        let body = body.map_err(|error| {
            anyhow::anyhow!("the answer is cut off or larger than {LARGEST_KEY_SET} bytes: {error}")
        })?;
        Ok(body.to_bytes().to_vec())
    }

    fn request(&self) -> anyhow::Result<Request<Empty<Bytes>>> {
        let path = self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let authority = self.uri.authority().context("JWT_JWKS_URL names no host")?;
        let request = Request::get(path)
            .header(HOST, HeaderValue::from_str(authority.as_str())?)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("onekeel/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close");
        Ok(request.body(Empty::new())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_the_machine_itself_is_asked() {
        for (url, allowed) in [
            ("https://id.example.com/keys", true),
            ("https://[2001:db8::1]:8443/keys?a=b", true),
            ("http://127.0.0.1:80/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://id.example.com/keys", false),
            ("http://127.0.0.1.example.com/keys", false),
            ("http://localhost.example.com/keys", false),
            ("https://user:secret@id.example.com/keys", false),
            ("file:///etc/passwd", false),
            ("/keys", false),
            ("", false),
        ] {
            assert_eq!(Address::parse(url, false, None).is_ok(), allowed, "{url}");
        }
        assert!(Address::parse("http://id.example.com/keys", true, None).is_ok());
    }
}
