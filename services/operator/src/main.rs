//! `onekeel`: runs, tests and looks after the suite.
mod commands;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// As clap ends when it does not know a flag.
const WRONG_USAGE: u8 = 2;

/// Runs, tests and looks after the OneKeel suite.
#[derive(Parser)]
#[command(
    name = "onekeel",
    version,
    max_term_width = 110,
    after_help = "Examples:
  onekeel demo                       the main job, end to end, on servers of its own
  onekeel dev --tls                  the suite on this machine, with tokens and grpcurl lines to copy
  onekeel migrate                    brings the database at DATABASE_URL to the newest schema
  onekeel doctor                     looks at a deployment and says what to do
  onekeel quota verify --all         holds the accounts of all tenants against their rows
  onekeel permissions                which role may call which method
  onekeel keys --help                the keys that servers sign with
  onekeel usage --help               what a tenant used, and what it costs
  onekeel audit --help               who did what in a tenant
  onekeel domain --help              the domains that a tenant brings along
  onekeel api-key --help             the keys of a tenant's programs

Data go to standard output, everything else to standard error.
Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
struct Onekeel {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::Demo),
    Dev(commands::dev::Dev),
    Migrate(commands::migrate::Migrate),
    Doctor(commands::doctor::Doctor),
    Permissions(commands::permissions::Permissions),
    Keys(commands::keys::Keys),
    Token(commands::token::Token),
    Usage(commands::usage::Usage),
    Audit(commands::audit::Audit),
    Domain(commands::domain::Domain),
    ApiKey(commands::api_key::ApiKey),
    Bench(commands::bench::Bench),
    Completions(commands::completions::Completions),
    Test(commands::test::Test),
    Prepare(commands::prepare::Prepare),
    Quota(commands::quota::Quota),
    Docs(commands::docs::Docs),
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
    match runtime.block_on(run(onekeel.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("onekeel: {error:#}");
            if error.is::<commands::WrongUsage>() {
                ExitCode::from(WRONG_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Doctor(doctor) => return doctor.run().await,
        Command::Quota(quota) => return quota.run().await,
        Command::Bench(bench) => return bench.run().await,
        Command::Demo(demo) => demo.run().await?,
        Command::Dev(dev) => dev.run().await?,
        Command::Migrate(migrate) => migrate.run().await?,
        Command::Permissions(permissions) => permissions.run()?,
        Command::Keys(keys) => keys.run()?,
        Command::Token(token) => token.run()?,
        Command::Usage(usage) => usage.run().await?,
        Command::Audit(audit) => audit.run().await?,
        Command::Domain(domain) => domain.run().await?,
        Command::ApiKey(key) => key.run().await?,
        Command::Completions(completions) => completions.run(Onekeel::command()),
        Command::Test(test) => test.run().await?,
        Command::Prepare(prepare) => prepare.run().await?,
        Command::Docs(docs) => docs.run(&Onekeel::command())?,
    }
    Ok(ExitCode::SUCCESS)
}
