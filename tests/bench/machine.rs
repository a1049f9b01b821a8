//! The machine: whether it is quiet, and what it is.
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use crate::progress;

/// Share of time, in per cent, in which somebody may wait for a processor before we start.
const BUSY: f64 = 20.0;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const ROUND: Duration = Duration::from_secs(1);

/// Where numbers come from.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processors, and how many.
    pub processor: String,
    /// Gigabytes.
    pub memory: u64,
    /// Its kernel.
    pub kernel: String,
    /// PostgreSQL's version.
    pub postgres: String,
    /// When the run began, in UTC.
    pub date: String,
    /// Whether the programs were built for release.
    pub release: bool,
    /// Per cent of time in which somebody waited for a processor, when the run began.
    pub pressure: Option<f64>,
}

impl Machine {
    /// Looks at this machine.
    pub fn look(postgres: String) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let total = memory
            .split_whitespace()
            .nth(1)
            .and_then(|kilobytes| kilobytes.parse().ok());
        Self {
            processor: format!("{count} × {model}"),
            memory: total.unwrap_or(0_u64).div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            postgres,
            date: chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
            release: !cfg!(debug_assertions),
            pressure: pressure().ok(),
        }
    }

    /// Whether something besides us ran.
    pub fn is_busy(&self) -> bool {
        self.pressure.is_some_and(|pressure| pressure > BUSY)
    }
}

/// Waits until the machine is quiet, as after the build that came before us, but not for long: refuses one on which others
/// work, since their time would be ours.
pub async fn refuse_when_busy(force: bool) -> anyhow::Result<()> {
    if force {
        return Ok(());
    }
    progress::say("waiting for a quiet machine");
    let deadline = Instant::now() + LONGEST_WAIT;
    let mut round = tokio::time::interval(ROUND);
    loop {
        round.tick().await;
        let waiting = pressure().context(
            "/proc/pressure/cpu tells nothing, so nobody knows whether this machine is quiet; --force measures all the same",
        )?;
        if waiting <= BUSY {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the machine is busy: in {waiting:.0} % of the last ten seconds somebody waited for a processor, {BUSY:.0} % \
             are the most; wait, or measure all the same with --force"
        );
    }
}

fn pressure() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/pressure/cpu")?;
    let average = text.split_whitespace().find_map(|word| word.strip_prefix("avg10="));
    Ok(average.context("no average")?.parse()?)
}
