//! A real OpenTelemetry collector that passes on what it gets to a receiver of ours.
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use onekeel_operator::private::{Process, free_port};
use onekeel_operator::trace::Receiver;
use onekeel_tests::tool;
use tempfile::TempDir;
use tokio::process::Command;

const LONGEST_START: Duration = Duration::from_secs(30);

/// A running collector and what it passed on.
pub struct Collector {
    pub receiver: Receiver,
    folder: TempDir,
    port: u16,
    process: Process,
}

impl Collector {
    pub async fn start() -> anyhow::Result<Self> {
        let (receiver, folder, port) = (Receiver::start().await?, tempfile::tempdir()?, free_port()?);
        let config = serde_json::json!({
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": format!("127.0.0.1:{port}")}}}},
            "exporters": {"otlp": {"endpoint": receiver.endpoint(), "tls": {"insecure": true}}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp"]}},
            },
        });
        std::fs::write(folder.path().join("config.yaml"), config.to_string())?;
        let process = launch(&folder, port).await?;
        Ok(Self {
            receiver,
            folder,
            port,
            process,
        })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.process = launch(&self.folder, self.port).await?;
        Ok(())
    }
}

async fn launch(folder: &TempDir, port: u16) -> anyhow::Result<Process> {
    let program = tool("otelcol").context("the tests were started without a collector")?;
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.path().join("config.yaml"));
    let log = folder.path().join("collector.log");
    let mut process = Process::start("otelcol", command, &log, None).await?;
    let listens = async || TcpStream::connect(("127.0.0.1", port)).is_ok();
    process.wait_until(LONGEST_START, listens).await?;
    Ok(process)
}
