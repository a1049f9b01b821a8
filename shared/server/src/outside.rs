//! Health and reflection, which stand outside of the layers: probes carry no token.
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use onekeel_api::FILE_DESCRIPTOR_SET;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_reflection::server::{Builder, Error};
use tower::Service;

const REFLECTION: &str = "/grpc.reflection.";

/// The answer of [`Outside::call`] on its way. In a box, as every other call would have to have its room too.
pub(crate) type Answering = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// What anybody may ask. Clones are the same.
#[derive(Clone)]
pub(crate) struct Outside {
    health: Routes,
    reflection: Arc<Reflection>,
}

/// The contract as tools ask for it. It is made for the first of them: unpacked, it is half a megabyte, and most servers are
/// never asked.
struct Reflection {
    names: Vec<&'static str>,
    routes: OnceLock<Routes>,
}

impl Outside {
    /// Of a server with the services `names`.
    pub fn new(health: HealthServer<impl Health>, names: Vec<&'static str>) -> Self {
        let routes = OnceLock::new();
        Self {
            health: Routes::new(health),
            reflection: Arc::new(Reflection { names, routes }),
        }
    }

    /// Answers; it is always ready to.
    pub fn call(&mut self, request: Request<Incoming>) -> Answering {
        if request.uri().path().starts_with(REFLECTION) {
            Box::pin(self.reflection.routes().call(request))
        } else {
            Box::pin(self.health.call(request))
        }
    }
}

impl Reflection {
    fn routes(&self) -> Routes {
        let made = self.routes.get_or_init(|| {
            describe(&self.names).unwrap_or_else(|error| {
                tracing::error!(%error, "the contract cannot be shown to tools");
                Routes::default()
            })
        });
        made.clone()
    }
}

/// Reflection of v1, and v1alpha for older tools.
fn describe(names: &[&'static str]) -> Result<Routes, Error> {
    let describe = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // With these, grpcurl shows the details of an error instead of their bytes.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        let builder = builder.with_service_name("grpc.health.v1.Health");
        names
            .iter()
            .fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let mut routes = Routes::builder();
    routes.add_service(describe().build_v1()?);
    routes.add_service(describe().build_v1alpha()?);
    Ok(routes.routes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_can_be_shown_to_tools() {
        describe(&["onekeel.lead.v1.LeadService"]).expect("what is built in is in order");
    }
}
