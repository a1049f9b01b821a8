//! A private PostgreSQL.
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

use super::account::Account;
use super::install::postgres_folder;
use super::process::{Process, free_port};
use crate::random::random_secret;

const LONGEST_START: Duration = Duration::from_secs(60);
const LONGEST_STOP: Duration = Duration::from_secs(10);

/// How a database server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Transactions are rolled back, and a checkpoint is written.
    Fast,
    /// Sessions are cut off; the next start recovers from the log.
    Immediate,
    /// Every process gets SIGKILL.
    Killed,
}

/// A database server for one run; its data go with it.
pub struct Postgres {
    account: Account,
    programs: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    settings: &'static [&'static str],
    password: String,
    process: Process,
}

impl Postgres {
    /// Makes a cluster below `folder` and starts it; `settings` (`name=value`) come after our own and outweigh them.
    pub async fn start(folder: &Path, settings: &'static [&'static str]) -> anyhow::Result<Self> {
        let account = Account::choose()?;
        let programs = postgres_folder().context("PostgreSQL 15 or newer is not installed")?;
        let home = account.folder(folder.join("postgres"))?;
        let (data, log, password) = (home.join("data"), folder.join("postgres.log"), random_secret());
        let password_file = home.join("password");
        std::fs::write(&password_file, &password)?;
        account.own(&password_file)?;
        let init = account
            .command(&programs.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .arg("--pwfile")
            .arg(&password_file)
            .args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .output()
            .await?;
        std::fs::remove_file(&password_file)?;
        anyhow::ensure!(
            init.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&init.stderr)
        );
        let port = free_port()?;
        let process = launch(&account, &programs, &data, &log, (port, settings)).await?;
        let mut postgres = Self {
            account,
            programs,
            data,
            log,
            port,
            settings,
            password,
            process,
        };
        postgres.wait().await?;
        Ok(postgres)
    }

    /// Address of the superuser; the password is this run's own.
    pub fn url(&self) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// Ends the server and waits until every process of it is gone.
    pub async fn end(&mut self, ending: Ending) -> anyhow::Result<()> {
        let signal = match ending {
            Ending::Fast => Signal::SIGINT,
            Ending::Immediate => Signal::SIGQUIT,
            Ending::Killed => return self.process.kill_family().await,
        };
        self.process.stop(signal, LONGEST_STOP).await?;
        Ok(())
    }

    /// Starts the server again on the same port with the same data.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.end(Ending::Fast).await?;
        let how = (self.port, self.settings);
        self.process = launch(&self.account, &self.programs, &self.data, &self.log, how).await?;
        self.wait().await
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let url = self.url();
        let answers = async || PgConnection::connect(&url).await.is_ok();
        self.process.wait_until(LONGEST_START, answers).await
    }
}

async fn launch(
    account: &Account,
    programs: &Path,
    data: &Path,
    log: &Path,
    (port, settings): (u16, &[&str]),
) -> anyhow::Result<Process> {
    let mut command: Command = account.command(&programs.join("postgres"));
    command.arg("-D").arg(data);
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        "max_connections=200".to_owned(),
        // The data are this run's own: a machine that loses power loses the run anyway.
        "fsync=off".to_owned(),
    ] {
        command.args(["-c", &setting]);
    }
    for setting in settings {
        command.args(["-c", setting]);
    }
    Process::start("postgres", command, log, None).await
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT ends all backends at once; SIGKILL of the parent alone would leave them to find out by themselves.
        let _ended_already = self.process.signal(Signal::SIGQUIT);
    }
}
