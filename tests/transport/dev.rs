//! `onekeel dev --tls` and the doctor, as an operator uses them.
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onekeel_operator::stack::signed;
use onekeel_tests::{Ran, World, output, program, run, tool};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::extra::Extra;

const LONGEST_START: Duration = Duration::from_secs(120);

pub async fn the_lines_of_dev_work_as_they_are_printed(world: Arc<World>) -> anyhow::Result<()> {
    let mut dev = Command::new(program("onekeel")?)
        .args(["dev", "--tls", "--plan", "professional"])
        .env("DATABASE_URL", &world.backing.database_url)
        .env("REDIS_URL", &world.backing.redis_url)
        .env_remove("CARGO")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(dev.stdout.take().context("its output")?).lines();
    let printed = async {
        let mut printed = Vec::new();
        while let Some(line) = lines.next_line().await? {
            if line.contains("Ctrl-C ends it") {
                return Ok(printed);
            }
            printed.push(line);
        }
        anyhow::bail!("dev ended early: {printed:?}")
    };
    let printed = tokio::time::timeout(LONGEST_START, printed)
        .await
        .context("dev did not start")??;
    ensure!(
        printed.iter().any(|line| line.contains("on the plan professional")),
        "{printed:?}"
    );
    let exports: Vec<&String> = printed.iter().filter(|line| line.starts_with("export ")).collect();
    let calls: Vec<&String> = printed.iter().filter(|line| line.starts_with("grpcurl ")).collect();
    ensure!(calls.len() >= 5, "{printed:?}");
    let folder = tool("grpcurl").context("the test runs with it only")?;
    let folder = folder.parent().context("it lies in a folder")?;
    let path = format!("{}:/usr/bin:/bin", folder.display());
    for call in calls {
        ensure!(call.contains("-cacert $CA"), "{call}");
        let script = format!(
            "{}\n{call}",
            exports.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n")
        );
        let (good, said) = output(Command::new("bash").args(["-e", "-c", &script]).env("PATH", &path)).await?;
        ensure!(good, "{call}: {said}");
    }
    let id = dev.id().context("dev still runs")?;
    kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGINT)?;
    let ended = tokio::time::timeout(LONGEST_START, dev.wait_with_output()).await??;
    ensure!(
        ended.status.success(),
        "{}: {}",
        ended.status,
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(())
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
