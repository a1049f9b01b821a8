//! The image and its like for development: no container runs here, but everything that one would need is looked at.
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use nix::unistd::Uid;
use onekeel_operator::SERVICES;
use onekeel_tests::{World, output, program};
use serde_json::Value;
use tokio::process::Command;

use crate::chart::{list, root};

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

pub async fn the_image_holds_every_program_and_runs_as_nobody(_: Arc<World>) -> anyhow::Result<()> {
    let dockerfile = read("deploy/image/Dockerfile")?;
    let toolchain = read("rust-toolchain.toml")?;
    let version = toolchain.split('"').nth(1).context("a version")?;
    ensure!(
        dockerfile.contains(&format!("FROM rust:{version}-")),
        "another compiler than {version}"
    );
    ensure!(
        dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={version}")),
        "another toolchain than {version}"
    );
    let last = dockerfile.rsplit("\nFROM ").next().context("a stage")?;
    ensure!(
        last.starts_with("scratch\n"),
        "the last stage holds more than the suite"
    );
    ensure!(!last.contains("\nRUN "), "the last stage needs a shell");
    let user = last
        .lines()
        .find_map(|line| line.strip_prefix("USER "))
        .context("a user")?;
    let (user, _) = user.split_once(':').context("a group")?;
    ensure!(user.parse::<u32>()? > 0, "the image runs as root");
    ensure!(
        !dockerfile.contains("\nARG ") && !dockerfile.contains("PASSWORD"),
        "a secret may stay in a layer"
    );
    let ignored = read(".dockerignore")?;
    ensure!(ignored.lines().any(|line| line == "*"), "everything reaches the build");
    for line in dockerfile
        .lines()
        .filter(|line| line.starts_with("COPY ") && !line.contains("--from"))
    {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        for source in &words[..words.len() - 1] {
            ensure!(root().join(source).exists(), "{source} is not there");
            ensure!(
                ignored.lines().any(|kept| kept == format!("!{source}")),
                "{source} is ignored"
            );
        }
    }
    let copied = read("deploy/image/assemble")?;
    let copied = copied
        .lines()
        .find_map(|line| line.strip_prefix("for program in onekeel "))
        .context("programs")?;
    let copied: Vec<_> = copied.trim_end_matches("; do").split_whitespace().collect();
    let wanted: Vec<_> = SERVICES.iter().map(|service| format!("onekeel-{service}")).collect();
    ensure!(copied == wanted, "the image holds {copied:?}");
    Ok(())
}

pub async fn what_the_image_holds_suffices_to_run(_: Arc<World>) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let image = home.path().join("image");
    let programs = program("onekeel")?;
    let mut assemble = Command::new("sh");
    assemble.arg(root().join("deploy/image/assemble"));
    assemble.arg(programs.parent().context("a folder")?).arg(&image);
    let (good, said) = output(&mut assemble).await?;
    ensure!(good, "assemble: {said}");
    ensure!(
        !image.join("bin/sh").exists() && !image.join("usr/bin/sh").exists(),
        "the image has a shell"
    );
    for service in SERVICES
        .iter()
        .map(|service| format!("-{service}"))
        .chain([String::new()])
    {
        let path = format!("/usr/bin/onekeel{service}");
        let (_, named) = output(Command::new("ldd").arg(program(&format!("onekeel{service}"))?)).await?;
        let files = named.split_whitespace().filter(|word| word.starts_with('/'));
        for file in files {
            ensure!(
                image.join(file.trim_start_matches('/')).is_file(),
                "{path} needs {file}"
            );
        }
        // Only root may enter another root; a plain user's run has looked at the files.
        if Uid::effective().is_root() {
            let mut command = Command::new("chroot");
            command
                .arg("--userspec=65532:65532")
                .arg(&image)
                .args([&path, "--version"]);
            let (good, said) = output(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")).await?;
            ensure!(good && said.contains(env!("CARGO_PKG_VERSION")), "{path}: {said}");
        }
    }
    Ok(())
}

pub async fn compose_runs_every_service_with_secrets_as_files(_: Arc<World>) -> anyhow::Result<()> {
    let compose: Value = serde_saphyr::from_str(&read("deploy/dev/compose.yaml")?)?;
    let services = compose["services"].as_object().context("services")?;
    let made = read("deploy/make-secrets")?;
    for service in SERVICES.into_iter().chain(["migrate"]) {
        let own = services.get(service).with_context(|| format!("no {service}"))?;
        ensure!(
            own["profiles"][0] == "suite" && own["read_only"] == true,
            "{service}: {own}"
        );
        let built = own["build"]["dockerfile"].as_str().context("a Dockerfile")?;
        ensure!(root().join(built).is_file(), "{built} is not there");
        let command = own["command"][0].as_str().context("a command")?;
        ensure!(
            program(
                Path::new(command)
                    .file_name()
                    .and_then(|file| file.to_str())
                    .context("a name")?
            )?
            .is_file(),
            "{command}"
        );
        for volume in list(&own["volumes"]) {
            let volume = volume.as_str().context("a short volume")?;
            let source = volume.strip_prefix("./secrets/").context("a secret")?;
            let folder = source.split([':', '/']).next().context("a folder")?;
            ensure!(
                made.contains(&format!(" {folder}")) && volume.ends_with(":ro"),
                "{volume}"
            );
        }
        for (variable, value) in own["environment"].as_object().context("an environment")? {
            let secret = ["SECRET", "PASSWORD", "KEY", "_URL"]
                .iter()
                .any(|word| variable.contains(word));
            ensure!(
                !secret || variable.ends_with("_FILE"),
                "{service}: {variable} is {value}"
            );
        }
        for port in list(&own["ports"]) {
            ensure!(
                port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:")),
                "{service}: {port}"
            );
        }
    }
    Ok(())
}
