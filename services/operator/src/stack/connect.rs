//! How a server is reached: in plain text, or by TLS with an authority of the caller's choice.
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// An endpoint at `host:port`; by TLS when there is something to trust.
pub fn endpoint(address: &str, trusted: Option<&str>) -> anyhow::Result<Endpoint> {
    let scheme = if trusted.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
        .connect_timeout(LONGEST_CONNECT)
        .tcp_nodelay(true);
    let Some(pem) = trusted else {
        return Ok(endpoint);
    };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    Ok(endpoint.tls_config(tls)?)
}
