//! Metrics as Prometheus scrapes them.
use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_tests::{World, lead_named};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn scrape(world: &World, service: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(world.stack.metrics_address(service, 0)?).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

pub async fn a_scrape_shows_every_call_by_method_code_and_tenant(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let id = member.id;
    member.create(lead_named("ann")).await?;
    member
        .create(lead_named("ann"))
        .await
        .err()
        .context("the same lead twice")?;
    let text = scrape(&world, "lead").await?;
    let method = "onekeel.lead.v1.LeadService/CreateLead";
    for code in ["OK", "ALREADY_EXISTS"] {
        let line = format!("onekeel_rpc_requests_total{{method=\"{method}\",code=\"{code}\",tenant=\"{id}\"}} 1");
        ensure!(text.contains(&line), "no {line} in {text}");
    }
    for service in ["lead", "quota", "tenant"] {
        let text = scrape(&world, service).await?;
        let named = |kind: &str| -> BTreeSet<String> {
            let lines = text
                .lines()
                .filter_map(|line| line.strip_prefix(kind)?.split(' ').next());
            lines.map(str::to_owned).collect()
        };
        let (typed, explained) = (named("# TYPE "), named("# HELP "));
        ensure!(typed == explained, "not explained: {:?}", typed.difference(&explained));
        for name in [
            "onekeel_build_info",
            "process_resident_memory_bytes",
            "onekeel_db_acquire_seconds",
        ] {
            ensure!(typed.contains(name), "{service} has no {name}: {typed:?}");
        }
    }
    Ok(())
}
