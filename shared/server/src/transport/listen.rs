//! Takes connections until it is told to stop, and then waits for those that are there.
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::connection::Life;
use super::handshakes::{Handshakes, Line, Ready};
use super::{Identity, Peer, Transport, Watched};
use crate::Draining;
use crate::front::{Front, Inside};

/// After an error such as too many open files, which the next attempt would meet again.
const PAUSE: Duration = Duration::from_millis(50);

/// What [`listen`] serves, and how.
pub(crate) struct Listening<S> {
    pub front: Front<S>,
    pub listener: TcpListener,
    /// Plain text without one.
    pub identity: Option<Watched<Identity>>,
    pub transport: Transport,
}

/// Serves until the drain begins; returns when the last connection has ended.
pub(crate) async fn listen<S: Inside>(listening: Listening<S>, mut draining: Draining) {
    let Listening {
        front,
        listener,
        identity,
        transport,
    } = listening;
    let life = Life::new(&transport);
    let places = Arc::new(Semaphore::new(transport.max_client_connections as usize));
    let mut handshakes = Handshakes::new(identity);
    // Its value says that the end has come; its receivers are the connections.
    let (ending, connection) = watch::channel(());
    loop {
        tokio::select! {
            () = draining.begun() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match places.clone().try_acquire_owned() {
                    Ok(place) => handshakes.begin(stream, place),
                    Err(_full) => metrics::counter!("onekeel_connections_refused_total").increment(1),
                },
                Err(error) => pause_after(&error).await,
            },
            Ready { line, place } = handshakes.next() => {
                let (front, life, ending) = (front.clone(), life.clone(), connection.clone());
                tokio::spawn(async move {
                    match line {
                        Line::Plain(stream) => {
                            let peer = Peer::plain(stream.get_ref());
                            life.live(stream, peer, front, ending).await;
                        }
                        Line::Tls(stream) => {
                            let peer = Peer::tls(stream.get_ref());
                            life.live(*stream, peer, front, ending).await;
                        }
                    }
                    drop(place);
                });
            }
        }
    }
    // New callers are refused at once instead of waiting for nobody.
    drop((listener, handshakes, connection));
    ending.send_replace(());
    ending.closed().await;
}

async fn pause_after(error: &io::Error) {
    // These concern one caller only.
    let passing = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if !passing {
        metrics::counter!("onekeel_accept_failures_total").increment(1);
        tracing::warn!(%error, "no connection can be taken");
        tokio::time::sleep(PAUSE).await;
    }
}
