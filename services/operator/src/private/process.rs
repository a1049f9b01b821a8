//! A child process that ends with its owner.
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// Lines of a log that an error shows.
const SHOWN_LINES: usize = 15;
const LONGEST_DEATH: Duration = Duration::from_secs(5);

/// A running program whose output goes to a file.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, appends its output to `log`, and gives it `input`.
    pub async fn start(name: &str, mut command: Command, log: &Path, input: Option<&str>) -> anyhow::Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        command.stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(text.as_bytes()).await?;
        }
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Asks `ready` again and again until it says yes; fails when the program ends or `longest` passes.
    pub async fn wait_until(&mut self, longest: Duration, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + longest;
        let mut round = tokio::time::interval(Duration::from_millis(20));
        loop {
            round.tick().await;
            if ready().await {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, self.last_lines());
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("{} is not ready after {longest:?}:\n{}", self.name, self.last_lines());
            }
        }
    }

    /// Process id; `None` after the end.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kilobytes of the program in memory, as the kernel tells it.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let id = self.id().with_context(|| format!("{} has ended", self.name))?;
        let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(number.context("no line VmRSS")?.parse()?)
    }

    /// Whether the program still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }

    /// Kills with SIGKILL and waits for the end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        Ok(self.child.kill().await?)
    }

    /// Kills the program and its children with SIGKILL and waits until all of them are gone.
    pub async fn kill_family(&mut self) -> anyhow::Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        // Stopped first, so that it starts no more of them meanwhile.
        self.signal(Signal::SIGSTOP)?;
        let children = self.children()?;
        for child in &children {
            // One that has ended by itself meanwhile cannot be killed.
            let _gone_already = kill(*child, Signal::SIGKILL);
        }
        self.kill().await?;
        let deadline = tokio::time::Instant::now() + LONGEST_DEATH;
        let mut round = tokio::time::interval(Duration::from_millis(10));
        while children.iter().any(|child| is_alive(*child)) {
            round.tick().await;
            if tokio::time::Instant::now() >= deadline {
                bail!("children of {} outlive SIGKILL", self.name);
            }
        }
        Ok(())
    }

    fn children(&self) -> anyhow::Result<Vec<Pid>> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let mut children = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let process = Pid::from_raw(process);
            if stat(process).is_some_and(|(_, parent)| parent == id) {
                children.push(process);
            }
        }
        Ok(children)
    }

    /// Sends `signal` and waits for the end; kills after `longest`. Returns whether it ended by itself with success.
    pub async fn stop(&mut self, signal: Signal, longest: Duration) -> anyhow::Result<bool> {
        if !self.is_running() {
            return Ok(false);
        }
        self.signal(signal)?;
        match tokio::time::timeout(longest, self.child.wait()).await {
            Ok(status) => Ok(status?.success()),
            Err(_) => {
                self.kill().await?;
                Ok(false)
            }
        }
    }

    /// The end of the program's output.
    pub fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

/// State and parent of a process that is there.
fn stat(process: Pid) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets before both, and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Whether a process runs; one that is dead and not yet collected by its parent does not.
fn is_alive(process: Pid) -> bool {
    stat(process).is_some_and(|(state, _)| state != 'Z')
}

/// Below what systems give to outgoing connections: such a port stays free until its server listens, and again while it
/// is restarted.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port on the loopback interface that nobody listens on, and that this process has not given away lately.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one("port")));
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(step)?;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port of {PORTS:?} is free")
}
