//! A call whose connection ended before the call was on it goes to the next connection.
//!
//! Connections end by age and when a server is replaced. A call that meets that moment has reached nobody, so sending it
//! again is safe, whatever it does; clients in most languages do so by themselves, tonic's does not.
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{self, Channel};
use tower::{Service, ServiceExt};

const MOST_ATTEMPTS: u32 = 3;

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
        let lender = Lender(Arc::new(Mutex::new(Some(body))));
        Box::pin(async move {
            let mut attempt = 1;
            loop {
                let sent = Request::from_parts(head.clone(), Body::new(lender.lend()));
                let error = match channel.call(sent).await {
                    Err(error) if attempt < MOST_ATTEMPTS && never_sent(&error) && lender.is_whole() => error,
                    other => return other,
                };
                tracing::debug!(%error, attempt, "the call was not sent; it goes to the next connection");
                metrics::counter!("onekeel_calls_resent_total").increment(1);
                channel.ready().await?;
                attempt += 1;
            }
        })
    }
}

/// Of a request that hyper still held when the connection ended, or that HTTP/2 refused to begin, because the server had
/// asked for the end of the connection: then it answers what was begun before, and nothing else.
fn never_sent(error: &transport::Error) -> bool {
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

/// Keeps a body until somebody reads from it.
struct Lender(Arc<Mutex<Option<Body>>>);

impl Lender {
    fn lend(&self) -> Lent {
        Lent {
            lender: self.0.clone(),
            body: None,
        }
    }

    fn is_whole(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// A body that stays with its lender until it is read.
struct Lent {
    lender: Arc<Mutex<Option<Body>>>,
    body: Option<Body>,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.body.is_none() {
            this.body = this.lender.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        Poll::Ready(ready!(Pin::new(body).poll_frame(context)))
    }

    fn is_end_stream(&self) -> bool {
        let lent = self.lender.lock().unwrap_or_else(PoisonError::into_inner);
        self.body
            .as_ref()
            .or(lent.as_ref())
            .is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let lent = self.lender.lock().unwrap_or_else(PoisonError::into_inner);
        let body = self.body.as_ref().or(lent.as_ref());
        body.map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
