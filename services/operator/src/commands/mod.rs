//! One file for each command.

mod calls;
pub mod demo;
pub mod dev;
pub mod metrics;
pub mod migrate;
pub mod prepare;
pub mod test;
pub mod token;
mod trace;

use anyhow::Context;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::{Plan, Stack};
use tokio::process::Command;

/// Runs `work` on a stack of its own, and ends the stack whatever came of it; Ctrl-C ends the work first.
async fn on_stack<W>(plan: &Plan, work: W) -> anyhow::Result<()>
where
    W: AsyncFnOnce(&Stack) -> anyhow::Result<()>,
{
    let backing = Backing::start().await?;
    let stack = Stack::start(&backing, plan).await?;
    let worked = tokio::select! {
        // Work that waits for Ctrl-C itself ends well by it.
        biased;
        worked = work(&stack) => worked,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let stopped = stack.stop().await;
    worked.and(stopped)
}

/// Runs cargo with this run's own toolchain; fails when cargo does.
async fn cargo(args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).envs(environment.iter().copied()).kill_on_drop(true);
    let status = command.status().await.context("cannot run cargo")?;
    anyhow::ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}

/// Builds the servers when we run from a checkout; an installed `onekeel` finds them beside itself.
async fn build_servers() -> anyhow::Result<()> {
    if std::env::var_os("CARGO").is_none() {
        return Ok(());
    }
    cargo(&["build", "--quiet", "--workspace", "--bins"], &[]).await
}
