//! Services that show certificates: a service's token alone is of no use to whoever stole it.
//!
//! A token says which service calls; where [`TLS_CLIENT_CA_FILE`](super::Transport::tls_client_ca_file) is set, the
//! certificate of the connection must say the same, as the DNS name `onekeel-<service>`.
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use onekeel_api::Fault;
use onekeel_tenancy::Caller;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use std::future::{Ready, ready};
use tonic::Status;
use tower::{Layer, Service};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Peer;

/// What every service's name in a certificate begins with.
const PREFIX: &str = "onekeel-";

/// The services that the certificate of a connection is for; none without one. The handshake has verified it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Option<Arc<[Box<str>]>>);

impl Shown {
    pub(super) fn of(connection: &ServerConnection) -> Self {
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        Self(certificate.map(services))
    }

    fn is(&self, service: &str) -> bool {
        let services = self.0.as_deref().unwrap_or_default();
        services.iter().any(|name| **name == *service)
    }
}

fn services(certificate: &CertificateDer<'_>) -> Arc<[Box<str>]> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Arc::default();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Arc::default();
    };
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => name.strip_prefix(PREFIX),
        _ => None,
    });
    names.map(Into::into).collect()
}

/// Admits services only with their own certificates; stands inside of the auth layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MutualLayer {
    /// Whether certificates are asked for at all.
    pub required: bool,
}

impl<S> Layer<S> for MutualLayer {
    type Service = Mutual<S>;

    fn layer(&self, inner: S) -> Mutual<S> {
        Mutual {
            inner,
            required: self.required,
        }
    }
}

/// See [`MutualLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Mutual<S> {
    inner: S,
    required: bool,
}

impl<S, B, R> Service<Request<B>> for Mutual<S>
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.required && !is_shown(&request) {
            metrics::counter!("onekeel_unshown_services_total").increment(1);
            // As for any token that proves nothing.
            let status = Status::from(Fault::unauthenticated());
            return Either::Left(ready(Ok(status.into_http())));
        }
        Either::Right(self.inner.call(request))
    }
}

/// Whether the caller is no service, or has shown that it is the one it says.
fn is_shown<B>(request: &Request<B>) -> bool {
    let Some(Caller::Service(service)) = request.extensions().get::<Caller>() else {
        return true;
    };
    let peer = request.extensions().get::<Peer>();
    peer.is_some_and(|peer| peer.shown.is(service.name()))
}
