//! The layer that writes down that support looks into a tenant, before it does: no event, no look.
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use onekeel_store::Store;
use onekeel_tenancy::Caller;
use tonic::Status;
use tower::{Layer, Service};

/// Puts [`Support`] around a service.
#[derive(Clone)]
pub(crate) struct SupportLayer(pub Store);

impl<S> Layer<S> for SupportLayer {
    type Service = Support<S>;

    fn layer(&self, inner: S) -> Support<S> {
        Support {
            inner,
            store: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Support<S> {
    inner: S,
    store: Store,
}

impl<S, B, R> Service<Request<B>> for Support<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Default + Send,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let tenant = match request.extensions().get::<Caller>() {
            Some(Caller::Tenant(tenant)) if tenant.support_reason().is_some() => tenant.clone(),
            _ => return Either::Left(self.inner.call(request)),
        };
        // The one that was polled ready goes with the future; its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let store = self.store.clone();
        Either::Right(Box::pin(async move {
            match store.note_access(&tenant).await {
                Ok(()) => inner.call(request).await,
                Err(fault) => Ok(Status::from(fault).into_http()),
            }
        }))
    }
}
