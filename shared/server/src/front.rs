//! The first turn of a request: to what stands outside of the layers, or in.
use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::{Either, MapOk};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Either as EitherBody;
use hyper::body::Incoming;
use tower::Service;

use crate::outside::{Answering, Outside};

/// Health and reflection; every service of ours is of the package `onekeel`.
const OUTSIDE: &str = "/grpc.";

/// The suite's own services behind their layers.
pub(crate) trait Inside:
    Service<Request<Incoming>, Response = Response<Self::Answer>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// What it answers with.
    type Answer: Body<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Send + 'static;
}

impl<S, A> Inside for S
where
    S: Service<Request<Incoming>, Response = Response<A>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
    A: Body<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Send + 'static,
{
    type Answer = A;
}

/// All that a server answers.
#[derive(Clone)]
pub(crate) struct Front<S> {
    outside: Outside,
    inside: S,
}

impl<S: Inside> Front<S> {
    pub fn new(outside: Outside, inside: S) -> Self {
        Self { outside, inside }
    }
}

type Answer<A> = Response<EitherBody<tonic::body::Body, A>>;
type Turned<F, A, B> = MapOk<F, fn(Response<A>) -> Answer<B>>;

impl<S: Inside> Service<Request<Incoming>> for Front<S> {
    type Response = Answer<S::Answer>;
    type Error = Infallible;
    type Future = Either<Turned<Answering, tonic::body::Body, S::Answer>, Turned<S::Future, S::Answer, S::Answer>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inside.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with(OUTSIDE) {
            let turn: fn(_) -> _ = |response: Response<_>| response.map(EitherBody::Left);
            Either::Left(self.outside.call(request).map_ok(turn))
        } else {
            let turn: fn(_) -> _ = |response: Response<_>| response.map(EitherBody::Right);
            Either::Right(self.inside.call(request).map_ok(turn))
        }
    }
}
