//! The layer that counts: next inside of authentication, where it is known whose call this is.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::Either;
use http::{Request, Response};
use onekeel_api::Meter;
use onekeel_tenancy::Caller;
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
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
{
    type Response = Response<Counted<R>>;
    type Error = S::Error;
    type Future = Billed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let bill = self.bill(request.extensions().get::<Caller>()).map(Arc::new);
        let called = self
            .inner
            .call(request.map(|body| Counted::question(body, bill.clone())));
        let called = match &bill {
            Some(bill) => Either::Left(bill.meter.clone().scope(called)),
            None => Either::Right(called),
        };
        Billed { called, bill }
    }
}

pin_project! {
    /// A call at the expense of its tenant's meter, or of nobody's.
    pub(crate) struct Billed<F> {
        #[pin]
        called: Either<TaskLocalFuture<Arc<Meter>, F>, F>,
        bill: Option<Arc<Bill>>,
    }
}

impl<F, R, E> Future for Billed<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<Counted<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.called.poll(context))?;
        if let Some(bill) = &this.bill {
            bill.read_status(response.headers());
        }
        Poll::Ready(Ok(response.map(|body| Counted::answer(body, this.bill.take()))))
    }
}

impl<S> Metering<S> {
    /// An operator's calls are on nobody's bill, those for support neither.
    fn bill(&self, caller: Option<&Caller>) -> Option<Bill> {
        match caller? {
            Caller::Tenant(tenant) if tenant.support_reason().is_some() => None,
            Caller::Tenant(tenant) => Some(Bill::new(self.ledger.meter(tenant), true)),
            Caller::Service(service) => Some(Bill::new(self.ledger.meter(service.tenant()), false)),
            Caller::Platform(_) => None,
        }
    }
}
