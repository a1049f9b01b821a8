//! A caller of the peer: one connection that is kept, one request at a time.
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const LONGEST_ANSWER: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 1 << 20;

/// A connection.
pub struct Connection(BufReader<TcpStream>);

/// What is asked.
pub struct Asked<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// With a slash.
    pub path: &'a str,
    /// The header `authorization`.
    pub authorization: &'a str,
    /// JSON.
    pub body: &'a str,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Status and JSON of the answer.
    pub async fn ask(&mut self, asked: Asked<'_>) -> anyhow::Result<(u16, Value)> {
        let answered = tokio::time::timeout(LONGEST_ANSWER, self.exchange(asked));
        answered.await.context("the peer does not answer")?
    }

    async fn exchange(&mut self, asked: Asked<'_>) -> anyhow::Result<(u16, Value)> {
        let Asked {
            method,
            path,
            authorization,
            body,
        } = asked;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: peer\r\nauthorization: {authorization}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes()).await?;
        let status = self.line().await?;
        let status = status.split(' ').nth(1).context("no status")?.parse()?;
        let mut length = 0;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("no header")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        anyhow::ensure!(length <= LARGEST_ANSWER, "an answer of {length} bytes");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok((status, serde_json::from_slice(&body)?))
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await?;
        anyhow::ensure!(read > 0, "the peer has closed the connection");
        Ok(line.trim_end().to_owned())
    }
}
