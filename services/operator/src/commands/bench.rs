//! `onekeel bench`
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use onekeel_operator::bench::Options;
use onekeel_operator::random_secret;
use onekeel_operator::{SERVICES, password_variable};
use tokio::process::Command;

use super::WrongUsage;
use super::build::{BENCH, cargo, release_folder};

/// Measures the suite against controls on a private PostgreSQL and Redis, with servers built for release.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo onekeel bench                                  the table of ratios, in less than ten minutes
  cargo onekeel bench --only create --only get
  cargo onekeel bench --json bench.json --plot bench.svg --markdown docs/performance.md
  cargo onekeel bench growth
  cargo onekeel bench peer
  cargo onekeel bench allocations

Exit code 1 when a ratio is not reached or the run is void.")]
pub struct Bench {
    #[command(flatten)]
    options: Options,
}

impl Bench {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if std::env::var_os("CARGO").is_none() {
            let why = "the benchmark is built from the source: run `cargo onekeel bench` in the project's folder";
            return Err(WrongUsage(why.to_owned()).into());
        }
        let what = self.options.what;
        eprintln!("building everything for release; the first time takes long");
        cargo(
            &[
                "build",
                "--quiet",
                "--release",
                "--workspace",
                "--bins",
                "--features",
                BENCH,
            ],
            &[],
        )
        .await?;
        let program = std::path::Path::new(&release_folder()?).join("onekeel-bench");
        let mut driver = Command::new(program);
        // What follows the word `bench` is read again by the driver.
        driver.args(std::env::args_os().skip(2)).kill_on_drop(true);
        // Several suites on one PostgreSQL share their logins, and so the passwords.
        driver.envs(SERVICES.map(|service| (password_variable(service), random_secret())));
        let status = driver
            .status()
            .await
            .with_context(|| format!("cannot measure {what:?}"))?;
        Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
