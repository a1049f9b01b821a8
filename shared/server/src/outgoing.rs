//! What stands around each call to another service: the trace goes on there, and a recorded call has a client span.
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderValue, Request, Response, Uri};
use metrics::Histogram;
use onekeel_api::trace::{TraceContext, TraceId};
use onekeel_api::{Call, Fault};
use onekeel_gate::PeerChannel;
use onekeel_telemetry::{Place, client_span, record_end};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::Resend;
use crate::watch::new_span_id;

const HTTP: u16 = 80;

/// A channel to the service at `addresses`; a group of processes goes by its first address.
pub(crate) fn peer(channel: Resend, addresses: &[String]) -> PeerChannel {
    let first = addresses.first().and_then(|address| address.parse::<Uri>().ok());
    let host = first.as_ref().and_then(Uri::host).unwrap_or_default().to_owned();
    let port = first.as_ref().and_then(Uri::port_u16).unwrap_or(HTTP);
    PeerChannel::new(Outgoing {
        channel,
        server: Arc::new((host, port)),
        durations: Arc::default(),
    })
}

#[derive(Clone)]
struct Outgoing {
    channel: Resend,
    server: Arc<(String, u16)>,
    /// By path. Paths come from the generated clients, so there are as many as the contract has methods.
    durations: Arc<Mutex<HashMap<String, Histogram>>>,
}

impl Service<Request<Body>> for Outgoing {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.channel.poll_ready(context).map_err(status)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let clone = self.channel.clone();
        let mut channel = std::mem::replace(&mut self.channel, clone);
        let duration = self.duration(request.uri().path());
        let span = self.join(&mut request);
        let (end, began) = (span.clone(), Instant::now());
        let called = async move {
            let answered = channel.call(request).await.map_err(status);
            duration.record(began.elapsed());
            if !end.is_none() {
                record(&end, &answered);
            }
            answered
        };
        Box::pin(called.instrument(span))
    }
}

impl Outgoing {
    /// Sends the trace on: below a client span where the call is recorded, as it is where it is not. Background work
    /// begins a trace that nobody records, so that the logs of both sides still meet.
    fn join(&self, request: &mut Request<Body>) -> Span {
        let Some(call) = Call::current() else {
            let context = TraceContext {
                trace_id: TraceId(Uuid::new_v4().as_u128()),
                span_id: new_span_id(),
                sampled: false,
            };
            put(request, "traceparent", &context.to_string());
            return Span::none();
        };
        let (mut context, mut span) = (call.context(), Span::none());
        if context.sampled {
            let place = Place {
                trace_id: context.trace_id.0,
                span_id: new_span_id(),
                parent: None,
                state: None,
            };
            let method = request.uri().path().trim_start_matches('/');
            let made = client_span(method, &place, (&self.server.0, self.server.1));
            if !made.is_disabled() {
                context.span_id = place.span_id;
                span = made;
            }
        }
        put(request, "traceparent", &context.to_string());
        if let Some(state) = call.state() {
            put(request, "tracestate", state);
        }
        span
    }

    fn duration(&self, path: &str) -> Histogram {
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = durations.get(path) {
            return known.clone();
        }
        let method = path.trim_start_matches('/').to_owned();
        let made = metrics::histogram!("onekeel_rpc_client_duration_seconds", "method" => method);
        durations.insert(path.to_owned(), made.clone());
        made
    }
}

fn put(request: &mut Request<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        request.headers_mut().insert(name, value);
    }
}

fn status(error: tonic::transport::Error) -> Status {
    Status::from_error(Box::new(error))
}

/// For a caller, every failure is one.
fn record(span: &Span, answered: &Result<Response<Body>, Status>) {
    let failed = match answered {
        Ok(response) => Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok),
        Err(status) => Some(status.clone()),
    };
    match failed {
        None => record_end(span, Code::Ok, None, false),
        Some(status) => {
            let reason = Fault::from_status(&status).reason().name();
            record_end(span, status.code(), Some(reason), true);
        }
    }
}
