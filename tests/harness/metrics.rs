//! `/metrics`, as Prometheus reads it.
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LONGEST_SCRAPE: Duration = Duration::from_secs(10);

/// What the server at `host:port` shows of itself.
pub async fn scrape(address: &str) -> anyhow::Result<String> {
    page(address, "/metrics").await
}

/// A page of the server at `host:port`, with its head.
pub async fn page(address: &str, path: &str) -> anyhow::Result<String> {
    let read = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(LONGEST_SCRAPE, read).await??;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

/// The values of a metric's series that have all these labels.
pub fn values(text: &str, metric: &str, labels: &[&str]) -> Vec<f64> {
    let fits =
        |line: &&str| line.split(['{', ' ']).next() == Some(metric) && labels.iter().all(|label| line.contains(label));
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse().ok());
    text.lines().filter(fits).filter_map(value).collect()
}
