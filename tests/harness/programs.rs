//! Programs that tests run as a user would.
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

const LONGEST_RUN: Duration = Duration::from_secs(300);

/// A program that was built with the tests.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own
        .ancestors()
        .nth(2)
        .context("a test lies two folders below the target")?;
    Ok(folder.join(name))
}

/// Runs a command to its end: whether it succeeded, and all that it said.
pub async fn output(command: &mut Command) -> anyhow::Result<(bool, String)> {
    let output = tokio::time::timeout(LONGEST_RUN, command.kill_on_drop(true).output()).await??;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((output.status.success(), text))
}
