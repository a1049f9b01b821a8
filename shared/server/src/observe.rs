//! The outermost layer: every call gets a trace id, is counted and timed, and a recorded one gets a span.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request, Response};
use onekeel_api::{Call, Origin, Policies};
use onekeel_telemetry::Telemetry;
use tonic::Status;
use tower::{Layer, Service};
use tracing::Instrument;

use crate::ended::Ending;
use crate::origin::Origins;
use crate::watch::Watch;

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Puts [`Observe`] around a service.
#[derive(Clone)]
pub(crate) struct ObserveLayer(Arc<Watch>);

impl ObserveLayer {
    pub fn new(telemetry: Telemetry, policies: Arc<Policies>, sample_ratio: f64, origins: Origins) -> Self {
        Self(Arc::new(Watch::new(telemetry, policies, sample_ratio, origins)))
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            inner,
            watch: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Observe<S> {
    inner: S,
    watch: Arc<Watch>,
}

impl<S, B, R> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Only methods of the contract become labels; a caller cannot make up series.
        let path = request.uri().path();
        let method = self.watch.telemetry.calls.method(path);
        let policy = self.watch.policies.get(path).cloned();
        let (call, parent) = self.watch.join(request.headers());
        let (origin, refusal) = match self.watch.origins.of(&request) {
            Ok(origin) => (origin, None),
            Err(fault) => (Origin::default(), Some(fault)),
        };
        let call = Arc::new(call.under_policy(policy).from_origin(origin));
        let span = self.watch.span(&call, parent, method);
        let ending = Ending::new(self.watch.clone(), method, call.clone(), parent, span.clone());
        // What the layers inside do before anything waits belongs to the call as well.
        let called = match refusal {
            Some(fault) => Err(fault),
            None => Ok(span.in_scope(|| call.sync_scope(|| self.inner.call(request)))),
        };
        let work = async move {
            let mut response = match called {
                Err(fault) => Status::from(fault).into_http(),
                Ok(called) => called.await?,
            };
            // Here, so that no refusal of the layers inside lacks them.
            announce(response.headers_mut());
            ending.answered(response.headers());
            Ok(response)
        };
        Box::pin(call.scope(work).instrument(span))
    }
}

/// Says in the head of the answer what is known of the tenant's limit of requests.
fn announce(head: &mut HeaderMap) {
    Call::with_current(|call| {
        let Some(limit) = call.take_rate_limit() else {
            return;
        };
        head.insert(RATE_LIMIT_POLICY, limit.policy);
        if let Some(state) = limit.state {
            head.insert(RATE_LIMIT, state);
        }
    });
}
