//! The layer that turns `authorization` into a [`Caller`] and a path into its [`Policy`], or refuses.
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use onekeel_api::{Audience, Call, ErrorReason, Fault, Policies, Policy};
use tonic::Status;
use tower::{Layer, Service};

use crate::refusal::{Refusal, refused};
use crate::{Caller, Verifier, support};

const SCHEME: &str = "bearer ";

/// Puts [`Auth`] around a service.
#[derive(Clone)]
pub struct AuthLayer {
    verifier: Arc<Verifier>,
    policies: Arc<Policies>,
}

impl AuthLayer {
    /// A layer that admits to the methods of `policies` only.
    pub fn new(verifier: Arc<Verifier>, policies: Arc<Policies>) -> Self {
        Self { verifier, policies }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth {
            inner,
            rules: self.clone(),
        }
    }
}

/// Leaves a [`Caller`] and an `Arc<Policy>` in each request that it lets through.
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    rules: AuthLayer,
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
        match self.rules.judge(request.uri().path(), request.headers()) {
            Ok((policy, caller)) => {
                request.extensions_mut().insert(policy);
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                Either::Right(self.inner.call(request))
            }
            Err(fault) => Either::Left(ready(Ok(Status::from(fault).into_http()))),
        }
    }
}

impl AuthLayer {
    fn judge(&self, path: &str, headers: &HeaderMap) -> Result<(Arc<Policy>, Option<Caller>), Fault> {
        let policy = self.policies.get(path).ok_or_else(unimplemented)?.clone();
        Call::with_current(|call| call.note_policy(&policy));
        if policy.audiences.contains(&Audience::Public) {
            return Ok((policy, None));
        }
        let token = bearer(headers).map_err(refused)?;
        let caller = self.verifier.verify_at(token, Call::beginning())?;
        let caller = support::enter(caller, &policy, headers)?;
        if let Some(tenant) = caller.tenant() {
            Call::with_current(|call| call.note_tenant(tenant.id()));
        }
        if !caller.is_named(&policy) {
            return Err(Fault::permission_denied());
        }
        Ok((policy, Some(caller)))
    }
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
