//! The `onekeel` command as people and programs use it.
use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_operator::stack::AUDIENCE;
use onekeel_tests::{Method, Ran, World, contract, program, run};
use serde_json::Value;
use tokio::process::Command;

/// `onekeel` with these arguments and nothing else in its environment.
pub fn onekeel(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(program("onekeel")?);
    command.args(arguments).env_clear();
    Ok(command)
}

async fn succeeds(command: &mut Command) -> anyhow::Result<String> {
    let Ran { code, out, err } = run(command).await?;
    ensure!(code == Some(0), "{code:?}: {err}");
    Ok(out)
}

pub async fn permissions_name_every_method_once(_world: Arc<World>) -> anyhow::Result<()> {
    let text = succeeds(&mut onekeel(&["permissions", "--json"])?).await?;
    let lines: Vec<Value> = serde_json::from_str(&text)?;
    let text_of = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let named: Vec<String> = lines
        .iter()
        .map(|line| format!("{}/{}", text_of(line, "service"), text_of(line, "method")))
        .collect();
    let distinct: BTreeSet<_> = named.iter().cloned().collect();
    ensure!(distinct.len() == named.len(), "a method is named twice: {named:?}");
    ensure!(distinct == contract()?.iter().map(Method::name).collect(), "{named:?}");
    let create = lines
        .iter()
        .find(|line| line["method"] == "CreateLead")
        .context("CreateLead")?;
    ensure!(
        create["roles"] == serde_json::json!(["agent", "manager", "admin"]),
        "{create}"
    );
    ensure!(
        create["audiences"] == serde_json::json!(["tenant"]) && create["writes"] == true,
        "{create}"
    );

    let table = succeeds(&mut onekeel(&["permissions"])?).await?;
    ensure!(
        table == succeeds(&mut onekeel(&["permissions"])?).await?,
        "two runs differ"
    );
    let mut columns = Vec::new();
    let mut rows = 0;
    for line in table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("onekeel."))
    {
        if line.starts_with("method ") {
            let roles = ["cost", "writes", "viewer", "agent", "service"];
            columns = roles
                .iter()
                .filter_map(|role| line.find(&format!("  {role}")))
                .collect();
            ensure!(columns.len() == roles.len(), "{line}");
            continue;
        }
        rows += 1;
        let aligned = columns.iter().all(|column| line.get(*column..column + 2) == Some("  "));
        let starts = columns
            .iter()
            .all(|column| line.as_bytes().get(column + 2).is_some_and(|byte| *byte != b' '));
        ensure!(aligned && starts, "not aligned: {line}");
    }
    ensure!(rows == lines.len(), "{rows} rows in:\n{table}");
    let one = succeeds(&mut onekeel(&["permissions", "--service", "QuotaService"])?).await?;
    ensure!(one.contains("GetQuota") && !one.contains("CreateLead"), "{one}");
    Ok(())
}

pub async fn completions_are_a_script_that_bash_reads(_world: Arc<World>) -> anyhow::Result<()> {
    let script = succeeds(&mut onekeel(&["completions", "bash"])?).await?;
    for command in ["doctor", "permissions", "migrate", "--json"] {
        ensure!(script.contains(command), "{command} is not completed");
    }
    let folder = std::env::temp_dir().join(format!("onekeel-completions-{}", uuid::Uuid::new_v4()));
    std::fs::write(&folder, script)?;
    let read = run(Command::new("bash").arg("-n").arg(&folder)).await;
    std::fs::remove_file(&folder)?;
    let Ran { code, err, .. } = read?;
    ensure!(code == Some(0), "{err}");
    for shell in ["zsh", "fish"] {
        ensure!(
            !succeeds(&mut onekeel(&["completions", shell])?).await?.is_empty(),
            "nothing for {shell}"
        );
    }
    Ok(())
}

pub async fn data_are_printed_as_json(world: Arc<World>) -> anyhow::Result<()> {
    let mut migrate = onekeel(&["migrate", "--json"])?;
    let report = succeeds(migrate.env("DATABASE_URL", &world.stack.database.admin_url)).await?;
    let report: Value = serde_json::from_str(&report)?;
    ensure!(report["applied"] == serde_json::json!([]), "{report}");
    ensure!(report["known"].as_u64().is_some_and(|known| known >= 8), "{report}");
    ensure!(report["passwords_set"] == serde_json::json!([]), "{report}");

    let mut token = onekeel(&["token", "--json", "--role", "platform_viewer", "--issuer", "test"])?;
    let secret = world.stack.secrets.folder.join("jwt");
    let issued = succeeds(token.env("JWT_SECRET_FILE", secret).env("JWT_AUDIENCE", AUDIENCE)).await?;
    let issued: Value = serde_json::from_str(&issued)?;
    let parts = issued["token"].as_str().map(|token| token.split('.').count());
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    let expires = issued["expires_at"].as_u64().context("when it expires")?;
    ensure!(
        parts == Some(3) && expires > now + 3500 && expires <= now + 3600,
        "{issued}"
    );
    Ok(())
}

pub async fn wrong_usage_ends_with_2_and_failure_with_1(_world: Arc<World>) -> anyhow::Result<()> {
    let cases: [(&[&str], i32, &str); 9] = [
        (&["nothing"], 2, "nothing"),
        (&["migrate"], 2, "DATABASE_URL is missing"),
        (&["doctor"], 2, "DATABASE_URL is missing"),
        (&["permissions", "--service", "NoService"], 2, "--service NoService"),
        (&["completions", "powerpoint"], 2, "powerpoint"),
        (&["token", "--issuer", "test", "--role", "king"], 2, "--role king"),
        (
            &["token", "--issuer", "test", "--role", "admin"],
            2,
            "--client is required",
        ),
        (
            &["token", "--issuer", "test", "--role", "platform_admin"],
            2,
            "JWT_SECRET is missing",
        ),
        (
            &["migrate", "--database-url", "postgres://u:hidden@127.0.0.1:1/none"],
            1,
            "onekeel: ",
        ),
    ];
    for (arguments, expected, said) in cases {
        let Ran { code, out, err } = run(&mut onekeel(arguments)?).await?;
        ensure!(code == Some(expected), "{arguments:?}: {code:?}, {err}");
        ensure!(err.contains(said) && !err.contains("hidden"), "{arguments:?}: {err}");
        ensure!(out.is_empty(), "{arguments:?} wrote an error to standard output: {out}");
    }
    let help = succeeds(&mut onekeel(&["--help"])?).await?;
    ensure!(help.contains("Exit codes: 0 done, 1 failed, 2 wrong usage."), "{help}");
    Ok(())
}
