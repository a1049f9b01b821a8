//! The layer that counts: next inside of authentication, where it is known whose call this is.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use onekeel_tenancy::Caller;
use tower::{Layer, Service};

use super::Ledger;
use super::body::{Bill, Counted};

/// Puts [`Metering`] around a service.
#[derive(Clone)]
pub(crate) struct MeteringLayer(pub Arc<Ledger>);

impl<S> Layer<S> for MeteringLayer {
    type Service = Metering<S>;

    fn layer(&self, inner: S) -> Metering<S> {
        Metering {
            inner,
            ledger: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Metering<S> {
    inner: S,
    ledger: Arc<Ledger>,
}

impl<S, B, R> Service<Request<B>> for Metering<S>
where
    S: Service<Request<Counted<B>>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<Counted<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let bill = self.bill(request.extensions().get::<Caller>()).map(Arc::new);
        let called = self.inner.call(request.map(|body| Counted::new(body, bill.clone())));
        Box::pin(async move {
            let Some(bill) = bill else {
                return Ok(called.await?.map(|body| Counted::new(body, None)));
            };
            let response = bill.meter.clone().scope(called).await?;
            bill.read_status(response.headers());
            Ok(response.map(|body| Counted::new(body, Some(bill))))
        })
    }
}

impl<S> Metering<S> {
    /// An operator's calls are on nobody's bill.
    fn bill(&self, caller: Option<&Caller>) -> Option<Bill> {
        match caller? {
            Caller::Tenant(tenant) => Some(Bill::new(self.ledger.meter(tenant), true)),
            Caller::Service(service) => Some(Bill::new(self.ledger.meter(service.tenant()), false)),
            Caller::Platform(_) => None,
        }
    }
}
