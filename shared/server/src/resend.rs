//! A call whose connection ended before the server began the call goes to the next connection.
//!
//! Connections end by age and when a server is replaced. A call that meets that moment was heard by nobody, so sending it
//! again is safe, whatever it does; clients in most languages do so by themselves, tonic's does not.
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{self, Channel};
use tower::{Service, ServiceExt};

const MOST_ATTEMPTS: u32 = 3;
/// Requests of services are far smaller; of a stream that sent more, nothing is kept.
const MOST_KEPT: usize = 64 * 1024;

/// A channel that sends such calls again.
#[derive(Clone)]
pub struct Resend {
    channel: Channel,
}

impl From<Channel> for Resend {
    fn from(channel: Channel) -> Self {
        Self { channel }
    }
}

impl Service<Request<Body>> for Resend {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, transport::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was polled ready goes with the future; its clone stays.
        let clone = self.channel.clone();
        let mut channel = std::mem::replace(&mut self.channel, clone);
        let (head, body) = request.into_parts();
        let kept = Arc::new(Mutex::new(Kept::new(body)));
        Box::pin(async move {
            let mut attempt = 1;
            loop {
                let reading = Reading {
                    kept: kept.clone(),
                    next: 0,
                };
                let sent = Request::from_parts(head.clone(), Body::new(reading));
                let error = match channel.call(sent).await {
                    Err(error) if attempt < MOST_ATTEMPTS && unheard(&error) && locked(&kept).room.is_some() => error,
                    other => return other,
                };
                tracing::debug!(%error, attempt, "nobody heard the call; it goes to the next connection");
                metrics::counter!("onekeel_calls_resent_total").increment(1);
                channel.ready().await?;
                attempt += 1;
            }
        })
    }
}

/// Whether the server has not begun the call: hyper still held it when the connection ended, or the server asked for the
/// end of the connection and named the last call that it will answer, which was an earlier one.
fn unheard(error: &transport::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        let held = inner.downcast_ref().is_some_and(hyper::Error::is_canceled);
        let refused = inner.downcast_ref().is_some_and(|error: &h2::Error| {
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
        });
        if held || refused {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// A body of which is kept what was read, as long as it is little, so that it can be read again from the start.
struct Kept {
    rest: Body,
    frames: Vec<Bytes>,
    /// Bytes that may still be kept; none when too much was read.
    room: Option<usize>,
}

impl Kept {
    fn new(rest: Body) -> Self {
        Self {
            rest,
            frames: Vec::new(),
            room: Some(MOST_KEPT),
        }
    }

    fn keep(&mut self, data: &Bytes) {
        self.room = self.room.and_then(|room| room.checked_sub(data.len()));
        match self.room {
            Some(_) => self.frames.push(data.clone()),
            None => self.frames.clear(),
        }
    }
}

/// One reading of a kept body.
struct Reading {
    kept: Arc<Mutex<Kept>>,
    next: usize,
}

impl Reading {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        locked(&self.kept)
    }
}

fn locked(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let kept = self.kept.clone();
        let mut kept = locked(&kept);
        if let Some(data) = kept.frames.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        let read = ready!(Pin::new(&mut kept.rest).poll_frame(context));
        if let Some(data) = read.as_ref().and_then(|read| read.as_ref().ok()?.data_ref()) {
            kept.keep(data);
            self.next += 1;
        }
        Poll::Ready(read)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept();
        kept.frames.len() <= self.next && kept.rest.is_end_stream()
    }
}
