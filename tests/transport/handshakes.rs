//! Callers that connect and say nothing.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::lead::CountLeadsRequest;
use onekeel_operator::stack::endpoint;
use onekeel_server::transport::Authorities;
use onekeel_tests::World;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::extra::{Extra, request};

/// More than handshakes may go on at once.
const SILENT: usize = 600;
const QUICK: Duration = Duration::from_secs(3);
/// A handshake may take 10 s.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

pub async fn silent_connections_hold_nobody_up(world: Arc<World>) -> anyhow::Result<()> {
    let extra = Extra::start(&world, &[]).await?;
    let member = world.member("basic").await?;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(extra.server.address()).await?);
    }
    for _ in 0..5 {
        let mut leads = extra.leads()?;
        let called = leads.count_leads(request(&world, &member, CountLeadsRequest {})?);
        let answer = tokio::time::timeout(QUICK, called).await;
        answer.context("a caller waited for silent ones")??;
    }
    // The first ones gave way to later ones, the last ones have used up their time.
    for (number, mut stream) in silent.into_iter().enumerate() {
        let limit = if number < SILENT / 2 { QUICK } else { LONGEST_SILENCE };
        let closed = tokio::time::timeout(limit, stream.read(&mut [0; 64])).await;
        let closed = closed.with_context(|| format!("silent connection {number} is still open"))?;
        ensure!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    // A connection is closed a moment before it is counted.
    extra
        .wait_for_more("onekeel_handshake_failures_total", SILENT as f64 - 1.0)
        .await?;
    extra.stop().await
}

pub async fn a_caller_that_does_not_begin_http_2_is_no_connection(world: Arc<World>) -> anyhow::Result<()> {
    let extra = Extra::start(&world, &[]).await?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore {
            roots: Authorities::parse(extra.trusted.as_bytes())?.anchors,
        })
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let failures = "onekeel_handshake_failures_total";
    let before = extra.metric(failures).await?;
    for (begins, limit) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], QUICK),
        (b"PRI * HTTP", LONGEST_SILENCE),
        (b"", LONGEST_SILENCE),
    ] {
        let stream = TcpStream::connect(extra.server.address()).await?;
        let mut stream = connector.connect("127.0.0.1".try_into()?, stream).await?;
        stream.write_all(begins).await?;
        let closed = tokio::time::timeout(limit, stream.read(&mut [0; 64])).await;
        let closed = closed.with_context(|| format!("{begins:?} kept its connection"))?;
        ensure!(matches!(closed, Ok(0) | Err(_)), "{begins:?}: {closed:?}");
    }
    ensure!(extra.metric(failures).await? >= before + 3.0, "they were not counted");
    extra.stop().await
}

pub async fn more_connections_than_allowed_are_closed_at_once(world: Arc<World>) -> anyhow::Result<()> {
    let extra = Extra::start(&world, &[("MAX_CLIENT_CONNECTIONS", "3")]).await?;
    let open = async || {
        endpoint(&extra.server.address(), Some(&extra.trusted))?
            .connect()
            .await
            .map_err(anyhow::Error::from)
    };
    // Those that asked whether the server is ready have to leave first.
    let mut held = Vec::new();
    let deadline = tokio::time::Instant::now() + LONGEST_SILENCE;
    let mut round = tokio::time::interval(Duration::from_millis(20));
    while held.len() < 3 {
        round.tick().await;
        held.extend(open().await.ok());
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{} connections only",
            held.len()
        );
    }
    let began = tokio::time::Instant::now();
    ensure!(open().await.is_err(), "a fourth connection was taken");
    ensure!(began.elapsed() < QUICK, "it waited");
    ensure!(
        extra.metric("onekeel_connections_refused_total").await? >= 1.0,
        "it was not counted"
    );
    held.pop();
    while open().await.is_err() {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "the place of one that left is not given again"
        );
        round.tick().await;
    }
    drop(held);
    extra.stop().await
}
