//! `onekeel test`
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use onekeel_operator::private::Backing;
use onekeel_operator::random_secret;
use onekeel_operator::stack::{SERVICES, password_variable};

use super::{build_servers, cargo};

/// When set, tests whose tool is missing fail the run instead of being named in the summary.
const REQUIRE_TOOLS: &str = "ONEKEEL_REQUIRE_TOOLS";

/// Runs the tests on a private PostgreSQL and Redis, or on those that DATABASE_URL and REDIS_URL name.
#[derive(Args)]
pub struct Test {
    /// Only one suite.
    suite: Option<Suite>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Tests inside the crates.
    Unit,
    /// Rules of the source tree.
    Rules,
    /// The suite as its users see it.
    E2e,
    /// The walls between tenants.
    Isolation,
    /// Killed processes and cancelled calls.
    Failure,
}

impl Test {
    pub async fn run(self) -> anyhow::Result<()> {
        let wanted = |suite: Suite| self.suite.is_none_or(|only| only == suite);
        build_servers().await?;
        let backing = Backing::start().await?;
        let passwords: Vec<(String, String)> = SERVICES
            .into_iter()
            .map(|service| (password_variable(service), random_secret()))
            .collect();
        let grpcurl = find_grpcurl();
        let mut environment = vec![
            ("DATABASE_URL", backing.database_url.as_str()),
            ("REDIS_URL", backing.redis_url.as_str()),
        ];
        environment.extend(passwords.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let program = grpcurl.as_ref().map(|path| path.display().to_string());
        if let Some(program) = &program {
            environment.push(("GRPCURL", program));
        } else if std::env::var_os(REQUIRE_TOOLS).is_some() {
            bail!("grpcurl is not there, and {REQUIRE_TOOLS} is set");
        }
        if wanted(Suite::Unit) {
            cargo(
                &["test", "--quiet", "--workspace", "--exclude", "onekeel-tests"],
                &environment,
            )
            .await?;
        }
        let suites = [
            (Suite::Rules, "rules"),
            (Suite::E2e, "e2e"),
            (Suite::Isolation, "isolation"),
            (Suite::Failure, "failure"),
        ];
        for (_, name) in suites.into_iter().filter(|(suite, _)| wanted(*suite)) {
            println!("== {name}");
            let ignored = program.is_some().then_some("--include-ignored");
            let mut line = vec!["test", "--quiet", "--package", "onekeel-tests", "--test", name, "--"];
            line.extend(ignored);
            cargo(&line, &environment).await?;
        }
        match program {
            Some(program) => println!("all tests passed; grpcurl: {program}"),
            None => println!(
                "all tests that ran passed; NOT RUN, for want of grpcurl: the_real_grpcurl_lists_describes_and_calls\n\
                 install it: go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest"
            ),
        }
        Ok(())
    }
}

/// On the PATH, or where `go install` puts it.
fn find_grpcurl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin"));
    std::env::split_paths(&path)
        .chain(home)
        .map(|folder| folder.join("grpcurl"))
        .find(|program| program.is_file())
}
