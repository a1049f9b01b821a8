//! The gRPC services of a server, each found by its name in the path.
//!
//! tonic's own router is a web framework's: for each call it copies the service and puts the bodies of question and answer
//! into boxes of its own, thirteen allocations in all. A path of gRPC has two segments, and the first one is the service.
use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tower::Service;

use crate::metering::Counted;

/// The body of a request as services get it: its bytes count for the caller's tenant.
pub type RequestBody = Counted<Incoming>;

type Answer = BoxFuture<Response<Body>, Infallible>;

/// What the contract's servers are, as tonic generates them. They are always ready.
pub trait GrpcService:
    Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible, Future = Answer>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> GrpcService for S where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible, Future = Answer>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The services of one server. Each connection has a clone, so that none is made for a call.
#[derive(Clone, Default)]
pub struct Services(Vec<Named>);

struct Named {
    name: &'static str,
    service: Box<dyn Callable>,
}

impl Services {
    /// Adds a service under its full name in the contract.
    #[must_use]
    pub fn with(mut self, service: impl GrpcService) -> Self {
        self.0.push(named(service));
        self
    }

    /// The services' full names.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|named| named.name).collect()
    }
}

fn named<S: GrpcService>(service: S) -> Named {
    Named {
        name: S::NAME,
        service: Box::new(service),
    }
}

/// A service whose type is forgotten.
trait Callable: Send + Sync {
    fn call(&mut self, request: Request<RequestBody>) -> Answer;
    fn again(&self) -> Named;
}

impl<S: GrpcService> Callable for S {
    fn call(&mut self, request: Request<RequestBody>) -> Answer {
        Service::call(self, request)
    }

    fn again(&self) -> Named {
        named(self.clone())
    }
}

impl Clone for Named {
    fn clone(&self) -> Self {
        self.service.again()
    }
}

impl Service<Request<RequestBody>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Answer {
        let name = service_of(request.uri().path());
        match self.0.iter_mut().find(|named| name == Some(named.name)) {
            Some(named) => named.service.call(request),
            // The layers refuse what the contract does not know; this is for what they let through by mistake.
            None => Box::pin(async { Ok(Status::unimplemented("there is no such service").into_http()) }),
        }
    }
}

/// The first of two segments.
fn service_of(path: &str) -> Option<&str> {
    let (service, _method) = path.strip_prefix('/')?.split_once('/')?;
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_segments_names_the_service() {
        assert_eq!(
            service_of("/onekeel.lead.v1.LeadService/GetLead"),
            Some("onekeel.lead.v1.LeadService")
        );
        for foreign in [
            "",
            "/",
            "/onekeel.lead.v1.LeadService",
            "onekeel.lead.v1.LeadService/GetLead",
        ] {
            assert_eq!(service_of(foreign), None, "{foreign}");
        }
    }
}
