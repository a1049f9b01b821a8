//! The control: an echo behind nothing but tonic, on the same runtime as the servers.
mod echo;

use std::net::SocketAddr;

use onekeel_api::lead::lead_service_server::LeadServiceServer;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::codegen::http::Extensions;
use tonic::{Status, transport::Server};

use self::echo::{Echo, Measure};

struct Nothing;

#[tonic::async_trait]
impl Measure for Nothing {
    async fn measure(&self, _extensions: &Extensions) -> Result<i64, Status> {
        Ok(0)
    }
}

fn main() -> anyhow::Result<()> {
    let listen: SocketAddr = std::env::var("LISTEN")?.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let leads = LeadServiceServer::new(Echo(Nothing));
        let leads = leads.accept_compressed(Gzip).send_compressed(Gzip);
        let (_reporter, health) = tonic_health::server::health_reporter();
        let server = Server::builder().add_service(health).add_service(leads);
        Ok(server.serve(listen).await?)
    })
}
