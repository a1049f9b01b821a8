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
    // An IPv6 address stands in brackets in a URL, and without them in a certificate.
    let host = endpoint
        .uri()
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let tls = ClientTlsConfig::new()
        .domain_name(host)
        .ca_certificate(Certificate::from_pem(pem));
    Ok(endpoint.tls_config(tls)?)
}
