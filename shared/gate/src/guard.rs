//! Streams that go on for minutes: whoever would not be let in any more is not served any further.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use http_body::{Body, Frame, SizeHint};
use onekeel_api::{Call, Fault, Policy};
use onekeel_tenancy::{Caller, Tenant};
use tonic::Status;

use crate::Gate;

/// Between two looks. With what the gate remembers, a change ends a stream within 2 s.
const ROUND: Duration = Duration::from_millis(500);

/// Ends with the refusal when the caller of an open stream would be refused now.
pub(crate) type Refusal = Pin<Box<dyn Future<Output = Status> + Send>>;

impl Gate {
    /// For a stream of a tenant's user; other calls are over soon, and servers are not bound by what a tenant decides.
    pub(crate) fn watch(&self, caller: Option<&Caller>, policy: &Arc<Policy>) -> Option<Refusal> {
        let Some(Caller::Tenant(tenant)) = caller.filter(|_| policy.is_stream()) else {
            return None;
        };
        let refused = self.clone().refused(tenant.clone(), policy.clone()).map(Status::from);
        // The answer's body is asked for outside of the call, and its end is still this call's answer, with its trace.
        Some(match Call::current() {
            Some(call) => Box::pin(call.scope(refused)),
            None => Box::pin(refused),
        })
    }

    async fn refused(self, tenant: Tenant, policy: Arc<Policy>) -> Fault {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            if let Err(fault) = self.check_tenant(&tenant, &policy).await {
                metrics::counter!("onekeel_streams_refused_total", "reason" => fault.reason().name()).increment(1);
                return fault;
            }
        }
    }
}

/// A body that ends early with a refusal.
pub struct Guarded<B> {
    /// Gone when it was refused.
    inner: Option<B>,
    refusal: Option<Refusal>,
}

impl<B> Default for Guarded<B> {
    fn default() -> Self {
        Self {
            inner: None,
            refusal: None,
        }
    }
}

impl<B> Guarded<B> {
    pub(crate) fn new(inner: B, refusal: Option<Refusal>) -> Self {
        Self {
            inner: Some(inner),
            refusal,
        }
    }
}

impl<B: Body + Unpin> Body for Guarded<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { inner, refusal } = &mut *self;
        if let Some(watch) = refusal
            && let Poll::Ready(status) = watch.as_mut().poll(context)
        {
            (*inner, *refusal) = (None, None);
            let trailers = status.into_http::<()>().into_parts().0.headers;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match inner {
            Some(inner) => Pin::new(inner).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
