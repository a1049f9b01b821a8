//! The life of one connection: it is served, asked to end at a certain age, and cut off when it does not.
//!
//! tonic's own age has no spread, so that callers who came together would come back together, and with a grace it
//! cuts connections off without having asked them to end.
use std::cell::RefCell;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::Service;
use uuid::Uuid;

use super::turns::{Served, Turns};
use super::{Peer, Transport};
use crate::front::{Front, Inside};

const MOST_STREAMS: u32 = 256;
const LARGEST_HEADERS: u32 = 24 * 1024;

/// How connections live.
#[derive(Clone)]
pub(super) struct Life {
    keep_alive: Duration,
    keep_alive_timeout: Duration,
    age: Option<Duration>,
    grace: Duration,
}

impl Life {
    pub fn new(transport: &Transport) -> Self {
        let age = transport.max_connection_age_seconds;
        Self {
            keep_alive: Duration::from_secs(transport.keep_alive_seconds),
            keep_alive_timeout: Duration::from_secs(transport.keep_alive_timeout_seconds),
            age: (age > 0).then(|| Duration::from_secs(age)),
            grace: Duration::from_secs(transport.max_connection_age_grace_seconds),
        }
    }

    /// How HTTP/2 is spoken, with requests that take their first turns in `turns`.
    fn http(&self, turns: Turns) -> http2::Builder<Turns> {
        let mut http = http2::Builder::new(turns);
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(LARGEST_HEADERS)
            .keep_alive_interval(self.keep_alive)
            .keep_alive_timeout(self.keep_alive_timeout);
        http
    }

    /// Serves on `io` until the caller leaves, the connection is old, or `ending` changes.
    pub async fn live<I, S>(self, io: I, peer: Peer, front: Front<S>, mut ending: watch::Receiver<()>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Inside,
    {
        let _open = Open::count();
        // A connection hands over one request after the other; a clone of all layers for each would cost more than they do.
        let front = RefCell::new(front);
        let serve = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            front.borrow_mut().call(request)
        });
        let turns = Turns::default();
        let connection = self.http(turns.clone()).serve_connection(TokioIo::new(io), serve);
        let mut served = Served::new(Box::pin(connection), turns);
        let age = self.age.map(spread);
        let old = async move {
            match age {
                Some(age) => tokio::time::sleep(age).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = &mut served => return report(ended),
            () = old => {}
            _ = ending.changed() => {}
        }
        // Tells the caller to open no more calls here, and waits for those that are open.
        served.connection().graceful_shutdown();
        match tokio::time::timeout(self.grace, served).await {
            Ok(ended) => report(ended),
            Err(_elapsed) => {
                metrics::counter!("onekeel_connections_cut_off_total").increment(1);
                tracing::debug!("a connection did not end in time and was cut off");
            }
        }
    }
}

/// A tenth more or less, by lot.
pub(crate) fn spread(age: Duration) -> Duration {
    let lot = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    age.mul_f64(0.9 + 0.2 * lot)
}

fn report(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection failed");
    }
}

/// Counts a connection while it is held.
struct Open;

impl Open {
    fn count() -> Self {
        metrics::counter!("onekeel_connections_total").increment(1);
        metrics::gauge!("onekeel_connections").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("onekeel_connections").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_spread_by_a_tenth() {
        let ages: Vec<_> = (0..1000).map(|_| spread(Duration::from_secs(100))).collect();
        let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(
            *least >= Duration::from_secs(90) && *most <= Duration::from_secs(110),
            "{least:?} {most:?}"
        );
        assert!(*most > *least + Duration::from_secs(15), "all are near {least:?}");
    }
}
