//! `onekeel dev --tls` and the doctor, as an operator uses them.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use onekeel_operator::stack::signed;
use onekeel_tests::{Dev, Ran, World, program, run};
use serde_json::Value;
use tokio::process::Command;

use crate::extra::Extra;

pub async fn the_lines_of_dev_work_as_they_are_printed(world: Arc<World>) -> anyhow::Result<()> {
    let dev = Dev::start(&world, &["--tls", "--plan", "professional"]).await?;
    let printed = &dev.printed;
    ensure!(
        printed.iter().any(|line| line.contains("on the plan professional")),
        "{printed:?}"
    );
    let calls: Vec<&String> = printed.iter().filter(|line| line.starts_with("grpcurl ")).collect();
    ensure!(calls.len() >= 5, "{printed:?}");
    for call in calls {
        ensure!(call.contains("-cacert $CA"), "{call}");
        let ran = dev.shell(call).await?;
        ensure!(ran.code == Some(0), "{call}: {}", ran.err);
    }
    dev.stop().await
}

pub async fn the_doctor_sees_how_long_a_certificate_is_good(world: Arc<World>) -> anyhow::Result<()> {
    let mut extra = Extra::start(&world, &[]).await?;
    let address = extra.server.address();
    let file = world.stack.folder().join("doctor.pem");
    std::fs::write(&file, &extra.trusted)?;
    let certificate = async |ca: &std::path::Path| {
        let mut doctor = Command::new(program("onekeel")?);
        doctor
            .args(["doctor", "--json", "--server", &format!("https://{address}"), "--ca"])
            .arg(ca)
            .env("DATABASE_URL", &world.stack.database.admin_url)
            .env("REDIS_URL", &world.backing.redis_url);
        let Ran { code, out, err } = run(&mut doctor).await?;
        let report: Value = serde_json::from_str(&out).context(err)?;
        let name = format!("server.{address}.certificate");
        let checks = report["checks"].as_array().context("no checks")?;
        let check = checks
            .iter()
            .find(|check| check["name"] == name)
            .context("no such check")?;
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        anyhow::Ok((code, text("status"), text("seen")))
    };
    let seen = certificate(&file).await?;
    ensure!(
        seen == (Some(0), "ok".to_owned(), "is good for 29 days".to_owned()),
        "{seen:?}"
    );

    let soon = SystemTime::now() + Duration::from_secs(3 * 86_400 + 3600);
    let pair = extra.certificates.authority.issue_for(&["127.0.0.1"], "soon", soon)?;
    let mut files = signed(&extra.certificates.authority, &extra.trusted)?;
    files.retain(|(name, _)| !name.starts_with("lead."));
    files.extend([
        ("lead.crt".to_owned(), pair.certificate),
        ("lead.key".to_owned(), pair.key),
    ]);
    extra.certificates.publish(&files)?;
    extra
        .wait_for_more("onekeel_tls_reloads_total{of=\"certificate\"}", 0.0)
        .await?;
    let seen = certificate(&file).await?;
    ensure!(
        seen == (Some(0), "warning".to_owned(), "is good for 3 days".to_owned()),
        "{seen:?}"
    );

    let stranger = onekeel_operator::stack::Authority::generate("a stranger")?;
    std::fs::write(&file, &stranger.pem)?;
    let (code, status, seen) = certificate(&file).await?;
    ensure!(code == Some(1) && status == "failure", "{code:?} {status} {seen}");
    extra.stop().await
}
