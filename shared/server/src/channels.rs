//! Connections to the other services: made when first needed, kept alive, and found again after a restart.
use std::time::Duration;

use anyhow::Context;
use http::Uri;
use http::uri::Scheme;
use tokio::sync::mpsc;
use tonic::transport::channel::Change;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::Resend;
use crate::transport::{Authorities, Watched};

const LONGEST_CONNECT: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(3);
/// Addresses of one service.
const MOST_ADDRESSES: usize = 64;

/// A channel to one address, or one that spreads calls over several. `what` names the setting in errors. Servers at
/// `https://` addresses must show a certificate that one of `trusted` signed for the host of the address.
pub(crate) fn open(what: &str, addresses: &[String], trusted: Option<&Watched<Authorities>>) -> anyhow::Result<Resend> {
    let endpoint = |address: &String| -> anyhow::Result<Endpoint> {
        let endpoint = Endpoint::from_shared(address.clone()).ok();
        let endpoint = endpoint.filter(|endpoint| has_scheme_and_host(endpoint.uri()));
        let endpoint = endpoint.with_context(|| {
            format!("{what}: {address} is no address such as http://host:50051 or https://host:50051")
        })?;
        Ok(endpoint
            .connect_timeout(LONGEST_CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            .keep_alive_while_idle(true))
    };
    let endpoints = addresses.iter().map(endpoint).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(
        endpoints.len() <= MOST_ADDRESSES,
        "{what} names more than {MOST_ADDRESSES} addresses"
    );
    if endpoints.iter().any(|endpoint| is_secure(endpoint.uri())) {
        let trusted = trusted.with_context(|| {
            format!("{what} has an https:// address; set TLS_CA_FILE to the authorities that sign such certificates")
        })?;
        return Ok(open_secure(endpoints, trusted.clone())?.into());
    }
    match <[Endpoint; 1]>::try_from(endpoints) {
        Ok([only]) => Ok(only.connect_lazy().into()),
        Err(several) => Ok(Channel::balance_list(several.into_iter()).into()),
    }
}

fn open_secure(endpoints: Vec<Endpoint>, mut trusted: Watched<Authorities>) -> anyhow::Result<Channel> {
    let (channel, changes) = Channel::balance_channel(MOST_ADDRESSES);
    for change in changes_for(&endpoints, &trusted.borrow_and_update())? {
        changes.try_send(change).expect("the queue takes every address");
    }
    tokio::spawn(follow(endpoints, trusted, changes));
    Ok(channel)
}

/// Replaces each connection when the authorities change, or what this server shows: the new one is used when it stands, calls on the old one end
/// as they would have, and no session goes on that an authority of yesterday vouched for.
async fn follow(
    endpoints: Vec<Endpoint>,
    mut trusted: Watched<Authorities>,
    changes: mpsc::Sender<Change<Uri, Endpoint>>,
) {
    while trusted.changed().await.is_ok() {
        let renewed = changes_for(&endpoints, &trusted.borrow_and_update());
        let renewed = renewed.expect("the same addresses were good with other authorities");
        for change in renewed {
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}

fn changes_for(endpoints: &[Endpoint], trusted: &Authorities) -> anyhow::Result<Vec<Change<Uri, Endpoint>>> {
    let secured = endpoints.iter().map(|endpoint| {
        let uri = endpoint.uri().clone();
        if !is_secure(&uri) {
            return Ok(Change::Insert(uri, endpoint.clone()));
        }
        // An IPv6 address stands in brackets in a URL, and without them in a certificate.
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let tls = ClientTlsConfig::new()
            .domain_name(host)
            .trust_anchors(trusted.anchors.iter().cloned())
            .timeout(LONGEST_CONNECT);
        let tls = match &trusted.shown {
            Some(shown) => tls.identity(shown.clone()),
            None => tls,
        };
        let secured = endpoint.clone().tls_config(tls);
        let secured = secured.with_context(|| format!("{uri} cannot be reached by TLS"))?;
        Ok(Change::Insert(uri, secured))
    });
    secured.collect()
}

fn has_scheme_and_host(uri: &Uri) -> bool {
    let known = uri.scheme() == Some(&Scheme::HTTP) || is_secure(uri);
    known && uri.host().is_some_and(|host| !host.is_empty())
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}
