//! An OTLP receiver of our own: servers, or a collector, send their spans to it by gRPC.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::Span;

/// Older spans are forgotten.
const MOST_SPANS: usize = 100_000;

/// Receives spans until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    kept: Kept,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<VecDeque<Span>>>);

impl Kept {
    fn spans(&self) -> MutexGuard<'_, VecDeque<Span>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver {
    /// Listens on a free port of the loopback interface.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.context("the receiver of spans cannot listen")?;
        let (address, kept) = (listener.local_addr()?, Kept::default());
        let service = TraceServiceServer::new(kept.clone()).accept_compressed(CompressionEncoding::Gzip);
        let server = Server::builder().add_service(service);
        let serving = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Ok(Self { address, kept, serving })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of one trace that have arrived.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        self.all(|span| span.trace_id == trace_id)
    }

    /// All spans that have arrived and are `wanted`.
    pub fn all(&self, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        self.kept.spans().iter().filter(|span| wanted(span)).cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.spans();
        spans.extend(request.into_inner().resource_spans.into_iter().flat_map(Span::read));
        let surplus = spans.len().saturating_sub(MOST_SPANS);
        spans.drain(..surplus);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
