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

/// How a program ended, and what it said.
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command to its end.
pub async fn run(command: &mut Command) -> anyhow::Result<Ran> {
    let ended = tokio::time::timeout(LONGEST_RUN, command.kill_on_drop(true).output()).await??;
    Ok(Ran {
        code: ended.status.code(),
        out: String::from_utf8_lossy(&ended.stdout).into_owned(),
        err: String::from_utf8_lossy(&ended.stderr).into_owned(),
    })
}

/// Runs a command to its end: whether it succeeded, and all that it said.
pub async fn output(command: &mut Command) -> anyhow::Result<(bool, String)> {
    let ran = run(command).await?;
    Ok((ran.code == Some(0), ran.out + &ran.err))
}
