//! `onekeel dev`, as someone runs it who copies its lines into another terminal.
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::programs::{Ran, program, run};
use crate::{World, tool};

const LONGEST_START: Duration = Duration::from_secs(120);
const LAST_LINE: &str = "Ctrl-C ends it";

/// A running `onekeel dev` and what it printed.
pub struct Dev {
    /// All lines up to the one that says how to end it.
    pub printed: Vec<String>,
    child: Child,
    // Closed, it would end a program that still prints.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Dev {
    /// Starts it on the suite's PostgreSQL and Redis; returns when it is up.
    pub async fn start(world: &World, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(program("onekeel")?)
            .arg("dev")
            .args(arguments)
            .env("DATABASE_URL", &world.backing.database_url)
            .env("REDIS_URL", &world.backing.redis_url)
            .env_remove("CARGO")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("its output")?).lines();
        let read = async {
            let mut printed = Vec::new();
            while let Some(line) = output.next_line().await? {
                if line.contains(LAST_LINE) {
                    return Ok(printed);
                }
                printed.push(line);
            }
            anyhow::bail!("dev ended early: {printed:?}")
        };
        let printed = tokio::time::timeout(LONGEST_START, read).await;
        Ok(Self {
            printed: printed.context("dev did not start")??,
            child,
            _output: output,
        })
    }

    /// Runs a line in a shell that has the variables which dev printed, and grpcurl.
    pub async fn shell(&self, line: &str) -> anyhow::Result<Ran> {
        let grpcurl = tool("grpcurl").context("the test runs with grpcurl only")?;
        let folder = grpcurl.parent().context("it lies in a folder")?;
        let exports = self.printed.iter().filter(|line| line.starts_with("export "));
        let exports: Vec<&str> = exports.map(String::as_str).collect();
        let script = format!("{}\n{line}", exports.join("\n"));
        let path = format!("{}:/usr/bin:/bin", folder.display());
        run(Command::new("bash").args(["-e", "-c", &script]).env("PATH", path)).await
    }

    /// Ends it by Ctrl-C.
    pub async fn stop(self) -> anyhow::Result<()> {
        let id = self.child.id().context("dev still runs")?;
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGINT)?;
        let ended = tokio::time::timeout(LONGEST_START, self.child.wait_with_output()).await??;
        ensure!(
            ended.status.success(),
            "{}: {}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        );
        Ok(())
    }
}
