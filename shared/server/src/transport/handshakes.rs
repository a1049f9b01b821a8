//! Connections before they are any: each has little time, and the slowest give way to new ones.
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::opened::Opened;
use super::{Identity, Watched};

const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);
const MOST_HANDSHAKES: usize = 256;

/// A caller that has shown that it speaks our protocol.
pub(super) struct Ready {
    pub line: Line,
    /// Its place among the connections.
    pub place: OwnedSemaphorePermit,
}

/// The bytes of a connection.
pub(super) enum Line {
    Plain(Opened<TcpStream>),
    Tls(Box<Opened<TlsStream<TcpStream>>>),
}

/// Handshakes that go on beside one another. A caller that means it takes milliseconds, so when there are too many the
/// oldest is given up: whoever opens connections and stays silent hinders nobody else.
pub(super) struct Handshakes {
    going: JoinSet<io::Result<Ready>>,
    order: VecDeque<AbortHandle>,
    identity: Option<Watched<Identity>>,
}

impl Handshakes {
    pub fn new(identity: Option<Watched<Identity>>) -> Self {
        Self {
            going: JoinSet::new(),
            order: VecDeque::new(),
            identity,
        }
    }

    pub fn begin(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let identity = self.identity.as_ref().map(|identity| identity.borrow().config.clone());
        let acceptor = identity.map(TlsAcceptor::from);
        let shaken = async move {
            let line = tokio::time::timeout(LONGEST_HANDSHAKE, shake(stream, acceptor)).await??;
            Ok(Ready { line, place })
        };
        self.order.push_back(self.going.spawn(shaken));
        if self.order.len() > MOST_HANDSHAKES {
            self.order.retain(|handshake| !handshake.is_finished());
        }
        if self.order.len() > MOST_HANDSHAKES {
            let oldest = self.order.pop_front().expect("there are more than none");
            oldest.abort();
        }
    }

    /// The next caller that is ready; waits for ever while there is none.
    pub async fn next(&mut self) -> Ready {
        while let Some(ended) = self.going.join_next().await {
            let why = match ended {
                Ok(Ok(ready)) => return ready,
                Ok(Err(error)) => error.to_string(),
                Err(_given_up) => "given up for newer ones".to_owned(),
            };
            metrics::counter!("onekeel_handshake_failures_total").increment(1);
            tracing::debug!(error = %why, "handshake failed");
        }
        std::future::pending().await
    }
}

async fn shake(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<Line> {
    stream.set_nodelay(true)?;
    Ok(match acceptor {
        Some(acceptor) => Line::Tls(Box::new(Opened::open(acceptor.accept(stream).await?).await?)),
        None => Line::Plain(Opened::open(stream).await?),
    })
}
