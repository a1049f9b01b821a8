//! The layer that turns `authorization` into a [`Caller`] whom the method is for, or refuses.
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use onekeel_api::{Audience, Call, ErrorReason, Fault};
use tonic::Status;
use tower::{Layer, Service};

use crate::refusal::{Refusal, refused};
use crate::{Caller, Verifier, support};

const SCHEME: &str = "bearer ";

/// Puts [`Auth`] around a service.
#[derive(Clone)]
pub struct AuthLayer(Arc<Verifier>);

impl AuthLayer {
    /// A layer that lets nobody in whom `verifier` does not know. It must stand inside of the one that makes the [`Call`] and
    /// looks its policy up; a call without one is refused.
    pub fn new(verifier: Arc<Verifier>) -> Self {
        Self(verifier)
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth {
            inner,
            verifier: self.0.clone(),
        }
    }
}

/// Leaves a [`Caller`] in each request that it lets through, unless the method is for everybody.
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    verifier: Arc<Verifier>,
}

impl<S, B, R> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<R>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match judge(&self.verifier, request.headers()) {
            Ok(caller) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                Either::Right(self.inner.call(request))
            }
            Err(fault) => Either::Left(ready(Ok(Status::from(fault).into_http()))),
        }
    }
}

fn judge(verifier: &Verifier, headers: &HeaderMap) -> Result<Option<Caller>, Fault> {
    let policy = Call::current_policy().ok_or_else(unimplemented)?;
    if policy.audiences.contains(&Audience::Public) {
        return Ok(None);
    }
    let token = bearer(headers).map_err(refused)?;
    let caller = verifier.verify_at(token, Call::beginning())?;
    let caller = support::enter(caller, &policy, headers)?;
    if let Some(tenant) = caller.tenant() {
        Call::with_current(|call| call.note_tenant(tenant.id()));
    }
    if !caller.is_named(&policy) {
        return Err(Fault::permission_denied());
    }
    Ok(Some(caller))
}

fn unimplemented() -> Fault {
    Fault::new(ErrorReason::Unimplemented, "this server has no such method")
}

/// The token of the only `authorization` header; two of them are as good as none.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Refusal::Form)?,
        (None, _) => return Err(Refusal::Missing),
        (Some(_), Some(_)) => return Err(Refusal::Form),
    };
    let (scheme, token) = value.split_at_checked(SCHEME.len()).ok_or(Refusal::Form)?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then_some(token)
        .ok_or(Refusal::Form)
}
