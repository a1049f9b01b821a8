//! `onekeel`: runs, tests and looks after the suite.
mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs, tests and looks after the OneKeel suite.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
struct Onekeel {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::Demo),
    Dev(commands::dev::Dev),
    Test(commands::test::Test),
    Migrate(commands::migrate::Migrate),
    Token(commands::token::Token),
    Prepare(commands::prepare::Prepare),
    Metrics(commands::metrics::Metrics),
}

fn main() -> ExitCode {
    let onekeel = Onekeel::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("onekeel: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(onekeel.command));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onekeel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(demo) => demo.run().await,
        Command::Dev(dev) => dev.run().await,
        Command::Test(test) => test.run().await,
        Command::Migrate(migrate) => migrate.run().await,
        Command::Token(token) => token.run(),
        Command::Prepare(prepare) => prepare.run().await,
        Command::Metrics(metrics) => {
            metrics.run();
            Ok(())
        }
    }
}
