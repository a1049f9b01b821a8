//! Finds the programs of PostgreSQL and Redis, and installs their packages where that is allowed.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::unistd::Uid;

/// Where Debian and Ubuntu put each version's programs.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
const OLDEST_POSTGRES: u32 = 15;

/// Makes sure that the programs are there: as root, or with a sudo that asks for no password, by apt; otherwise fails
/// and says what to install.
pub fn ensure_installed(postgres: bool, redis: bool) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if postgres && postgres_folder().is_none() {
        missing.push("postgresql");
    }
    if redis && redis_server().is_none() {
        missing.push("redis-server");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let mut apt = match (Uid::effective().is_root(), sudo_without_password()) {
        (true, _) => vec!["apt-get"],
        (false, true) => vec!["sudo", "-n", "apt-get"],
        (false, false) => bail!("{packages} is not installed; run: sudo apt-get install --yes {packages}"),
    };
    eprintln!("installing {packages}");
    let mut update = apt.clone();
    update.push("update");
    apt.extend(["install", "--yes", "--no-install-recommends"]);
    apt.extend(missing);
    for line in [update, apt] {
        let status = Command::new(line[0])
            .args(&line[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        let status = status.with_context(|| format!("cannot run {}", line.join(" ")))?;
        anyhow::ensure!(
            status.success(),
            "{} failed; install {packages} by hand",
            line.join(" ")
        );
    }
    Ok(())
}

fn sudo_without_password() -> bool {
    let tried = Command::new("sudo")
        .args(["-n", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// The folder that holds `initdb` and `postgres`: the newest installed version.
pub fn postgres_folder() -> Option<PathBuf> {
    let versions = std::fs::read_dir(POSTGRES_VERSIONS).ok()?;
    let numbered = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut fit: Vec<u32> = numbered.filter(|version| *version >= OLDEST_POSTGRES).collect();
    fit.sort_unstable_by(|a, b| b.cmp(a));
    let folders = fit
        .into_iter()
        .map(|version| Path::new(POSTGRES_VERSIONS).join(version.to_string()).join("bin"));
    let on_path = search_path().filter(|folder| folder.join("postgres").is_file());
    folders.chain(on_path).find(|folder| folder.join("initdb").is_file())
}

pub(crate) fn redis_server() -> Option<PathBuf> {
    search_path()
        .map(|folder| folder.join("redis-server"))
        .find(|program| program.is_file())
}

fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // A plain user's PATH often lacks it, and Debian puts redis-server there on some releases.
    folders
        .into_iter()
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")])
}
