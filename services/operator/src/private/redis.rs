//! A private Redis.
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::account::Account;
use super::install::redis_server;
use super::process::{Process, free_port};
use crate::random::random_secret;

const LONGEST_START: Duration = Duration::from_secs(20);
const LONGEST_ANSWER: Duration = Duration::from_secs(1);

/// File with the distance of the server's clock from the true time.
const CLOCK: &str = "clock";

/// A cache for one run; it keeps nothing on disk.
pub struct Redis {
    folder: PathBuf,
    log: PathBuf,
    port: u16,
    password: String,
    clock: Option<PathBuf>,
    process: Process,
}

impl Redis {
    /// Starts a server that works below `folder`, by a clock that can be set if `clock` is the library for that.
    pub async fn start(folder: &Path, clock: Option<&Path>) -> anyhow::Result<Self> {
        let home = Account::choose()?.folder(folder.join("redis"))?;
        let (log, port, password) = (folder.join("redis.log"), free_port()?, random_secret());
        set_clock(&home, 0)?;
        let process = launch(&home, &log, port, &password, clock).await?;
        let mut redis = Self {
            folder: home,
            log,
            port,
            password,
            clock: clock.map(Path::to_owned),
            process,
        };
        redis.wait().await?;
        Ok(redis)
    }

    /// Sets the server's clock to so many seconds from the true time.
    pub fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        anyhow::ensure!(self.clock.is_some(), "this Redis goes by the true time");
        set_clock(&self.folder, seconds)
    }

    /// Sends one command in a line; returns its answer, which is one line as well.
    pub async fn tell(&self, command: &str) -> anyhow::Result<String> {
        let asked = tell(self.port, &self.password, command);
        tokio::time::timeout(LONGEST_ANSWER, asked).await?
    }

    /// Address with this run's own password.
    pub fn url(&self) -> String {
        format!("redis://default:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Kills the server.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Starts the server again on the same port, empty.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.process.is_running() {
            self.process.kill().await?;
        }
        self.process = launch(
            &self.folder,
            &self.log,
            self.port,
            &self.password,
            self.clock.as_deref(),
        )
        .await?;
        self.wait().await
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let (port, password) = (self.port, self.password.clone());
        let answers = async || {
            let asked = tokio::time::timeout(LONGEST_ANSWER, tell(port, &password, "PING")).await;
            matches!(asked, Ok(Ok(answer)) if answer == "+PONG")
        };
        self.process.wait_until(LONGEST_START, answers).await
    }
}

/// The configuration comes by standard input, so that the password stands in no process list.
async fn launch(home: &Path, log: &Path, port: u16, password: &str, clock: Option<&Path>) -> anyhow::Result<Process> {
    let program = redis_server().context("redis-server is not installed")?;
    let mut command = Account::choose()?.command(&program);
    command.arg("-");
    if let Some(library) = clock {
        // The library asks for memory before it is ready, and Redis' own allocator then asks it for the time: with that of
        // the C library in front they do not wait for one another.
        let mut preload = library.as_os_str().to_owned();
        preload.push(":libc.so.6");
        command
            .env("LD_PRELOAD", preload)
            .env("FAKETIME_TIMESTAMP_FILE", home.join(CLOCK))
            .env("FAKETIME_NO_CACHE", "1")
            // What nobody can set on a real machine stays as it is.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    let config = format!(
        "port {port}\nbind 127.0.0.1\nrequirepass {password}\nsave \"\"\nappendonly no\ndir {}\nmaxmemory-policy noeviction\n",
        home.display()
    );
    Process::start("redis-server", command, log, Some(&config)).await
}

/// In one step, so that nobody reads half of a time.
fn set_clock(home: &Path, seconds: i64) -> anyhow::Result<()> {
    let (next, file) = (home.join("clock.next"), home.join(CLOCK));
    std::fs::write(&next, format!("{seconds:+}\n"))?;
    Account::choose()?.own(&next)?;
    Ok(std::fs::rename(next, file)?)
}

async fn tell(port: u16, password: &str, command: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let lines = format!("AUTH {password}\r\n{command}\r\n");
    stream.write_all(lines.as_bytes()).await?;
    let mut answers = BufReader::new(stream).lines();
    let admitted = answers.next_line().await?;
    anyhow::ensure!(admitted.as_deref() == Some("+OK"), "redis answered otherwise");
    let first = answers.next_line().await?.context("redis hung up")?;
    if !first.starts_with('$') || first == "$-1" {
        return Ok(first);
    }
    answers.next_line().await?.context("redis hung up")
}
