//! Where a call comes from, decided in one place: the connection itself, or what proxies say that are trusted.
use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use onekeel_api::{Fault, HostName, Network, Origin};

use crate::transport::Peer;

/// Who sent it to the proxy, and to the proxies before it, the last one last.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Which host the caller asked the proxy for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const LONGEST_HEADER: usize = 2048;
/// Proxies that a call may pass.
const MOST_HOPS: usize = 16;

/// How origins are found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    trusted: Vec<Network>,
}

impl Origins {
    /// What connections from these networks say of their callers is believed; what others say is not even read.
    pub fn trusting(trusted: Vec<Network>) -> Self {
        Self { trusted }
    }

    /// The origin of a call.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when a trusted proxy says what cannot be read: to go on with less would be to guess.
    pub fn of<B>(&self, request: &Request<B>) -> Result<Origin, Fault> {
        let peer = request.extensions().get().and_then(|peer: &Peer| peer.address);
        let peer = peer.map(|address| address.to_canonical());
        let called = request.uri().authority().map(http::uri::Authority::as_str);
        let called = called.or_else(|| request.headers().get(HOST)?.to_str().ok());
        let mut origin = Origin {
            address: peer,
            host: called.and_then(HostName::parse),
        };
        if let Some(peer) = peer.filter(|peer| self.trusts(*peer)) {
            origin.address = Some(self.forwarded_for(peer, request.headers())?);
            if let Some(host) = forwarded_host(request.headers())? {
                origin.host = HostName::parse(host);
            }
        }
        Ok(origin)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// The nearest address that no trusted proxy has, read from the right: what stands left of it was written by whoever
    /// has it, and may be anything. Where all are trusted, the farthest.
    fn forwarded_for(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Fault> {
        let lines: Vec<&[u8]> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        let bad = || {
            let mend = "must be the addresses of the caller and of proxies, at most 16, with commas between";
            Fault::invalid(FORWARDED_FOR.as_str(), mend)
        };
        if lines.iter().map(|line| line.len()).sum::<usize>() > LONGEST_HEADER {
            return Err(bad());
        }
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let mut nearest = peer;
        for (hop, text) in hops.enumerate() {
            if hop == MOST_HOPS {
                return Err(bad());
            }
            nearest = std::str::from_utf8(text).ok().and_then(address).ok_or_else(bad)?;
            if !self.trusts(nearest) {
                break;
            }
        }
        Ok(nearest)
    }
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The one host that a trusted proxy was asked for, if it says so.
fn forwarded_host(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let mut lines = headers.get_all(FORWARDED_HOST).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let host = line
        .to_str()
        .ok()
        .filter(|host| lines.next().is_none() && is_host(host));
    let bad = || {
        Fault::invalid(
            FORWARDED_HOST.as_str(),
            "must be the one host that was called, for example acme.example.com",
        )
    };
    host.map(Some).ok_or_else(bad)
}

fn is_host(host: &str) -> bool {
    HostName::parse(host).is_some() || address(host).is_some()
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
