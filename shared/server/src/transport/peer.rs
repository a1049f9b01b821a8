//! Whoever holds a connection, found out once for all of its calls.
use std::net::IpAddr;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::mutual::Shown;

/// In the extensions of each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Not that of a caller whose connection ended meanwhile.
    pub address: Option<IpAddr>,
    /// The services that its certificate is for.
    pub shown: Shown,
}

impl Peer {
    /// Who speaks in plain text has shown nothing.
    pub(super) fn plain(stream: &TcpStream) -> Self {
        Self {
            address: stream.peer_addr().ok().map(|address| address.ip()),
            shown: Shown::default(),
        }
    }

    /// After the handshake.
    pub(super) fn tls(stream: &TlsStream<TcpStream>) -> Self {
        let (stream, connection) = stream.get_ref();
        Self {
            shown: Shown::of(connection),
            ..Self::plain(stream)
        }
    }
}
