//! What commands build with cargo when they run from a checkout.
use anyhow::Context;
use tokio::process::Command;

/// The feature with which cargo builds the benchmark's driver and the servers that only it starts.
pub const BENCH: &str = "onekeel-tests/bench";

/// Runs cargo with this run's own toolchain; fails when cargo does.
pub async fn cargo(args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).envs(environment.iter().copied()).kill_on_drop(true);
    let status = command.status().await.context("cannot run cargo")?;
    anyhow::ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}

/// Builds the servers when we run from a checkout; an installed `onekeel` finds them beside itself.
pub async fn build_servers() -> anyhow::Result<()> {
    if std::env::var_os("CARGO").is_none() {
        return Ok(());
    }
    cargo(&["build", "--quiet", "--workspace", "--bins"], &[]).await
}

/// Where cargo puts programs that are built for release: beside the folder of ours.
pub fn release_folder() -> anyhow::Result<String> {
    let own = std::env::current_exe()?;
    let built = own.ancestors().nth(2).context("a program lies in a folder")?;
    Ok(built.join("release").display().to_string())
}
