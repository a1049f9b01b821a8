//! PostgreSQL's own benchmark: the same statements as one would send them, by the service's own login.
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_operator::private::postgres_folder;
use tokio::process::Command;

use crate::load::Measured;
use crate::processor::Watched;
use crate::world::Sizes;

/// Connections: twice as many as a server has to PostgreSQL.
const CONNECTIONS: &str = "16";
const THREADS: &str = "2";
const LONGEST_BEYOND: Duration = Duration::from_secs(60);

/// A script, and where it runs.
pub struct Script {
    file: PathBuf,
    url: String,
    sizes: Sizes,
}

impl Script {
    /// Keeps `text` in `folder` as `name`; it runs at `url`.
    pub fn new(folder: &std::path::Path, name: &str, text: &str, url: String, sizes: Sizes) -> anyhow::Result<Self> {
        let file = folder.join(format!("{name}.pgbench"));
        std::fs::write(&file, text)?;
        Ok(Self { file, url, sizes })
    }

    /// One round. A statement that fails, or a read that finds no row, fails it.
    pub async fn run(&self, seconds: Duration) -> anyhow::Result<Measured> {
        let mut command = self.command(seconds)?;
        let watched = Watched::default();
        let before = watched.spent()?;
        let ended = tokio::time::timeout(seconds + LONGEST_BEYOND, command.output());
        let ended = ended.await.context("pgbench does not end")??;
        let spent = watched.spent()? - before;
        let out = String::from_utf8_lossy(&ended.stdout);
        let err = String::from_utf8_lossy(ended.stderr.trim_ascii_end());
        ensure!(ended.status.success(), "pgbench: {out}{err}");
        ensure!(
            said(&out, "number of failed transactions:")? == 0.0,
            "pgbench: {out}{err}"
        );
        let done = said(&out, "number of transactions actually processed:")?;
        ensure!(done > 0.0, "pgbench: {out}{err}");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count is whole and positive"
        )]
        let units = done as u64;
        Ok(Measured {
            units,
            // Without the time in which it connects.
            seconds: done / said(&out, "tps = ")?,
            spent,
            latencies: Vec::new(),
        })
    }

    fn command(&self, seconds: Duration) -> anyhow::Result<Command> {
        let folder = postgres_folder().context("PostgreSQL is not installed")?;
        // The address holds a password, which is nobody's business in a list of processes.
        let address = self.url.trim_start_matches("postgres://");
        let (login, rest) = address.split_once('@').context("no login")?;
        let (user, password) = login.split_once(':').context("no password")?;
        let (host, database) = rest.split_once('/').context("no database")?;
        let (host, port) = host.split_once(':').context("no port")?;
        let mut command = Command::new(folder.join("pgbench"));
        command
            .args(["--no-vacuum", "--protocol=prepared"])
            .args(["--client", CONNECTIONS, "--jobs", THREADS])
            .arg(format!("--time={:.0}", seconds.as_secs_f64().round().max(1.0)))
            .arg(format!("--define=tenants={}", self.sizes.tenants))
            .arg(format!("--define=rows={}", self.sizes.rows))
            .arg(format!("--define=active={}", self.sizes.active))
            .arg("--file")
            .arg(&self.file)
            .arg(database)
            .envs([("PGUSER", user), ("PGPASSWORD", password)])
            .envs([("PGHOST", host), ("PGPORT", port)])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

/// The number in the line that begins so.
fn said(out: &str, head: &str) -> anyhow::Result<f64> {
    let line = out.lines().find_map(|line| line.strip_prefix(head));
    let word = line.and_then(|rest| rest.split(['/', ' ']).find(|word| !word.is_empty()));
    let number = word.and_then(|word| word.parse().ok());
    number.with_context(|| format!("pgbench says no «{head}»: {out}"))
}
