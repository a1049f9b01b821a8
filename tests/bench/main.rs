//! `onekeel-bench`: the driver behind `cargo onekeel bench`. It starts everything that it measures, and ends it.
mod allocations;
mod bench;
mod growth;
mod jobs;
mod load;
mod machine;
mod outcome;
mod peer;
mod pgbench;
mod processor;
mod progress;
mod report;
mod rows;
mod scripts;
mod variant;
mod world;

use std::process::ExitCode;

use clap::Parser;
use onekeel_operator::bench::{Options, What};

/// The driver of `cargo onekeel bench`, which builds it and passes its words on.
#[derive(Parser)]
struct Driver {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let Driver { options } = Driver::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = measure(options) => measured,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("onekeel bench: {error:#}");
    ExitCode::FAILURE
}

/// Whether everything was reached.
async fn measure(options: Options) -> anyhow::Result<bool> {
    machine::refuse_when_busy(options.force).await?;
    match options.what {
        What::Ratios => rows::ratios(options).await,
        What::Growth => growth::growth(options).await,
        What::Peer => peer::peer(options).await,
        What::Allocations => allocations::allocations(options).await,
    }
}
