//! `onekeel keys`, as an operator uses it.
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_operator::SERVICES;
use onekeel_tenancy::KeySet;
use onekeel_tests::{Ran, World, program, run};
use serde_json::Value;
use tokio::process::Command;

use crate::extra;

async fn ran(folder: &Path, arguments: &[&str]) -> anyhow::Result<Ran> {
    let mut command = Command::new(program("onekeel")?);
    command.env_clear().arg("keys").args(arguments);
    command
        .arg("--keys")
        .arg(folder)
        .arg("--peers")
        .arg(folder.join("peers"));
    run(&mut command).await
}

/// `onekeel keys` on a folder of keys and its `peers`; must succeed. Never shows a private key.
pub async fn onekeel(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let Ran { code, out, err } = ran(folder, arguments).await?;
    ensure!(code == Some(0), "{arguments:?}: {code:?}, {err}");
    shows_no_secret(folder, &(out.clone() + &err))?;
    Ok(out)
}

fn shows_no_secret(folder: &Path, said: &str) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "key") {
            let pem = std::fs::read_to_string(&path)?;
            let body = pem.lines().nth(1).context("a body")?;
            ensure!(!said.contains(body), "{} is shown", path.display());
        }
    }
    ensure!(!said.contains("PRIVATE"), "{said}");
    Ok(())
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

/// The states of lead's keys, in order.
async fn states(folder: &Path) -> anyhow::Result<Vec<String>> {
    let lines: Vec<Value> = serde_json::from_str(&onekeel(folder, &["list", "--json"]).await?)?;
    let of_lead = lines.iter().filter(|line| line["service"] == "lead");
    Ok(of_lead
        .filter_map(|line| line["state"].as_str().map(str::to_owned))
        .collect())
}

pub async fn keys_are_made_for_their_owner_and_never_shown(world: Arc<World>) -> anyhow::Result<()> {
    let folder = extra::folder(&world)?.0.join("service-keys");
    onekeel(&folder, &["make"]).await?;
    ensure!(mode(&folder)? == 0o700, "others look into the folder");
    for service in SERVICES {
        ensure!(
            mode(&folder.join(format!("{service}.key")))? == 0o600,
            "others read {service}.key"
        );
        ensure!(
            mode(&folder.join(format!("peers/{service}.pub")))? == 0o644,
            "{service}.pub"
        );
    }
    let first = std::fs::read_to_string(folder.join("lead.key"))?;
    onekeel(&folder, &["make", "--service", "lead"]).await?;
    ensure!(
        first == std::fs::read_to_string(folder.join("lead.key"))?,
        "a key was replaced by make"
    );

    ensure!(states(&folder).await? == ["signs"]);
    let Ran { code, err, .. } = ran(&folder, &["rotate", "switch", "--service", "lead"]).await?;
    ensure!(
        code == Some(1) && err.contains("announce"),
        "switch without a next key: {code:?} {err}"
    );
    onekeel(&folder, &["rotate", "announce", "--service", "lead"]).await?;
    ensure!(
        mode(&folder.join("lead.next.key"))? == 0o600,
        "others read the next key"
    );
    ensure!(states(&folder).await? == ["signs", "next"]);
    for step in ["announce", "retire"] {
        let Ran { code, out, err } = ran(&folder, &["rotate", step, "--service", "lead"]).await?;
        ensure!(
            code == Some(1) && out.is_empty(),
            "{step} in the middle: {code:?} {err}"
        );
        shows_no_secret(&folder, &err)?;
    }
    onekeel(&folder, &["rotate", "switch", "--service", "lead"]).await?;
    ensure!(
        mode(&folder.join("lead.key"))? == 0o600,
        "others read the key that was switched"
    );
    ensure!(states(&folder).await? == ["old", "signs"]);
    let set = onekeel(&folder, &["publish", "--service", "lead"]).await?;
    let set = KeySet::parse(set.as_bytes())?;
    let thumbprints: Vec<_> = set
        .keys
        .iter()
        .filter_map(onekeel_tenancy::VerifyingKey::thumbprint)
        .collect();
    for (key, thumbprint) in set.keys.iter().zip(&thumbprints) {
        ensure!(key.id() == Some(&format!("onekeel:lead:{thumbprint}")), "{key:?}");
    }
    ensure!(thumbprints.len() == 2, "{thumbprints:?}");
    onekeel(&folder, &["rotate", "retire", "--service", "lead"]).await?;
    ensure!(states(&folder).await? == ["signs"]);
    ensure!(
        first != std::fs::read_to_string(folder.join("lead.key"))?,
        "the old key signs"
    );
    let all = KeySet::parse(onekeel(&folder, &["publish"]).await?.as_bytes())?;
    ensure!(all.keys.len() == SERVICES.len(), "{all:?}");

    for arguments in [
        &["rotate", "switch", "--service", "nobody"][..],
        &["make", "--service", "../lead"],
        &["rotate"],
    ] {
        let Ran { code, out, err } = ran(&folder, arguments).await?;
        ensure!(code == Some(2) && out.is_empty(), "{arguments:?}: {code:?} {err}");
    }
    Ok(())
}
