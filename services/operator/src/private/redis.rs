//! A private Redis.
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::account::Account;
use super::install::redis_server;
use super::process::{Process, free_port};
use crate::random::random_secret;

const LONGEST_START: Duration = Duration::from_secs(20);
const LONGEST_ANSWER: Duration = Duration::from_secs(1);

/// A cache for one run; it keeps nothing on disk.
pub struct Redis {
    folder: PathBuf,
    log: PathBuf,
    port: u16,
    password: String,
    process: Process,
}

impl Redis {
    /// Starts a server that works below `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = Account::choose()?.folder(folder.join("redis"))?;
        let (log, port, password) = (folder.join("redis.log"), free_port()?, random_secret());
        let process = launch(&home, &log, port, &password).await?;
        let mut redis = Self {
            folder: home,
            log,
            port,
            password,
            process,
        };
        redis.wait().await?;
        Ok(redis)
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
        self.process = launch(&self.folder, &self.log, self.port, &self.password).await?;
        self.wait().await
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let (port, password) = (self.port, self.password.clone());
        let answers = async || {
            let asked = tokio::time::timeout(LONGEST_ANSWER, ping(port, &password)).await;
            matches!(asked, Ok(Ok(())))
        };
        self.process.wait_until(LONGEST_START, answers).await
    }
}

/// The configuration comes by standard input, so that the password stands in no process list.
async fn launch(home: &Path, log: &Path, port: u16, password: &str) -> anyhow::Result<Process> {
    let program = redis_server().context("redis-server is not installed")?;
    let mut command = Account::choose()?.command(&program);
    command.arg("-");
    let config = format!(
        "port {port}\nbind 127.0.0.1\nrequirepass {password}\nsave \"\"\nappendonly no\ndir {}\nmaxmemory-policy noeviction\n",
        home.display()
    );
    Process::start("redis-server", command, log, Some(&config)).await
}

async fn ping(port: u16, password: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes())
        .await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    anyhow::ensure!(&answer == b"+OK\r\n+PONG\r\n", "redis answered otherwise");
    Ok(())
}
