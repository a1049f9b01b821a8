//! The real OpenTelemetry collector as a process; what it receives it passes on to a receiver of ours.
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use onekeel_operator::private::{Process, free_port};
use onekeel_operator::trace::Receiver;
use tokio::net::TcpStream;
use tokio::process::Command;

const LONGEST_START: Duration = Duration::from_secs(30);

pub struct Collector {
    port: u16,
    config: PathBuf,
    process: Process,
}

impl Collector {
    pub async fn start(to: &Receiver, folder: PathBuf) -> anyhow::Result<Self> {
        let port = free_port()?;
        let config = folder.join(format!("otelcol-{port}.yaml"));
        let endpoint = to.endpoint();
        std::fs::write(
            &config,
            format!(
                "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
                 exporters:\n  debug: {{verbosity: basic}}\n  \
                 otlp_grpc: {{endpoint: '{endpoint}', tls: {{insecure: true}}, sending_queue: {{enabled: false}}}}\n\
                 service:\n  telemetry: {{metrics: {{level: none}}}}\n  \
                 pipelines: {{traces: {{receivers: [otlp], exporters: [debug, otlp_grpc]}}}}\n"
            ),
        )?;
        let process = launch(&config, port).await?;
        Ok(Self { port, config, process })
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = launch(&self.config, self.port).await?;
        Ok(())
    }
}

async fn launch(config: &PathBuf, port: u16) -> anyhow::Result<Process> {
    let program = onekeel_tests::tool("otelcol").context("the tests were started without otelcol")?;
    let mut command = Command::new(program);
    command.arg("--config").arg(config);
    let mut process = Process::start("otelcol", command, &config.with_extension("log"), None).await?;
    let listens = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    process.wait_until(LONGEST_START, listens).await?;
    Ok(process)
}
