//! The echo behind the product's own stack of layers, by the product's own bootstrap: the lead server with another handler.
mod echo;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use onekeel_api::lead::lead_service_server::LeadServiceServer;
use onekeel_gate::{AdmissionLayer, Gate};
use onekeel_server::{Parts, Routed, Services};
use onekeel_tenancy::Caller;
use tonic::Status;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::codegen::http::{Extensions, Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};

use self::echo::{Echo, Measure};

const BATCHES: usize = 300;
const CALLS: u32 = 200;
/// The answer is in nanoseconds of so many calls.
const OF: u32 = 1000;

struct Admission(Gate);

type Nothing = fn(Request<()>) -> Ready<Result<Response<()>, Infallible>>;

#[tonic::async_trait]
impl Measure for Admission {
    /// What admission adds to a service that does nothing: the median of many short batches, with and without.
    async fn measure(&self, extensions: &Extensions) -> Result<i64, Status> {
        let caller = extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| Status::internal("no caller stands in the request"))?;
        let nothing: Nothing = |_request| ready(Ok(Response::new(())));
        let bare = service_fn(nothing);
        let admitted = AdmissionLayer::new(self.0.clone()).layer(bare);
        let mut added = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let without = batch(bare, caller).await?;
            let with = batch(admitted.clone(), caller).await?;
            added.push(with.saturating_sub(without));
        }
        added.sort_unstable();
        let of = added[BATCHES / 2] * (OF / CALLS);
        i64::try_from(of.as_nanos()).map_err(|_| Status::internal("it took an age"))
    }
}

async fn batch<S, R>(mut service: S, caller: &Caller) -> Result<Duration, Status>
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let began = Instant::now();
    for _ in 0..CALLS {
        let mut request = Request::new(());
        request.extensions_mut().insert(caller.clone());
        let Ok(ready) = service.ready().await;
        let Ok(response) = ready.call(request).await;
        if let Some(refused) = response.headers().get("grpc-status") {
            return Err(Status::internal(format!("admission refused with {refused:?}")));
        }
    }
    Ok(began.elapsed())
}

#[expect(clippy::unnecessary_wraps, reason = "the bootstrap asks for routes that may fail")]
fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let leads = LeadServiceServer::new(Echo(Admission(parts.gate.clone())));
    let leads = leads.accept_compressed(Gzip).send_compressed(Gzip);
    Ok(Routed::new(Services::default().with(leads)))
}

fn main() -> ExitCode {
    onekeel_server::main("lead", routes)
}
