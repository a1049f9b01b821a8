//! `onekeel test`
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use onekeel_operator::private::Backing;
use onekeel_operator::random_secret;
use onekeel_operator::{SERVICES, password_variable};

use super::build::{BENCH, build_servers, cargo, release_folder};

/// When set, tests whose tool is missing fail the run instead of being named in the summary.
const REQUIRE_TOOLS: &str = "ONEKEEL_REQUIRE_TOOLS";

/// A program of others that some tests run, or a folder that they read, and how a person gets it.
struct Tool {
    name: &'static str,
    find: fn(&str) -> Option<PathBuf>,
    install: &'static str,
}

const TOOLS: [Tool; 6] = [
    Tool {
        name: "faketime",
        find: library_of_faketime,
        install: "apt-get install -y faketime",
    },
    Tool {
        name: "grpcurl",
        find: program,
        install: "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest",
    },
    Tool {
        name: "helm",
        find: program,
        install: "go install helm.sh/helm/v3/cmd/helm@v3.22.0",
    },
    Tool {
        name: "kubeconform",
        find: program,
        install: "go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
    },
    Tool {
        name: "kubeschemas",
        find: cached_folder,
        install: "bash .ci/kubeschemas",
    },
    Tool {
        name: "otelcol",
        find: program,
        install: "build it with the OpenTelemetry collector's builder, see tests/telemetry/otelcol.yaml",
    },
];

/// Runs the tests on a private PostgreSQL and Redis, or on those that DATABASE_URL and REDIS_URL name.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo onekeel test
  cargo onekeel test transport
  ONEKEEL_REQUIRE_TOOLS=1 cargo onekeel test    a missing tool fails the run")]
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
    /// Tokens and keys.
    Identity,
    /// TLS, connections, compression.
    Transport,
    /// Traces, metrics, logs.
    Telemetry,
    /// The image, the chart, the containers' command lines as processes.
    Deploy,
    /// Killed processes and cancelled calls.
    Failure,
    /// The benchmark on few rows: that every answer is right, and no word about speed.
    Bench,
    /// The servers' size in memory, built for release.
    Memory,
}

/// The suites that need running servers, in the order in which they run.
const SUITES: [(Suite, &str); 10] = [
    (Suite::Rules, "rules"),
    (Suite::E2e, "e2e"),
    (Suite::Isolation, "isolation"),
    (Suite::Identity, "identity"),
    (Suite::Transport, "transport"),
    (Suite::Telemetry, "telemetry"),
    (Suite::Deploy, "deploy"),
    (Suite::Failure, "failure"),
    (Suite::Bench, "bench"),
    (Suite::Memory, "memory"),
];

impl Test {
    pub async fn run(self) -> anyhow::Result<()> {
        let wanted = |suite: Suite| self.suite.is_none_or(|only| only == suite);
        let tools = Found::look()?;
        build_servers().await?;
        let backing = Backing::start().await?;
        let folder = tempfile::tempdir()?;
        let not_run = folder.path().join("not-run");
        let summary = folder.path().join("summary");
        let mut environment = vec![
            ("DATABASE_URL".to_owned(), backing.database_url.clone()),
            ("REDIS_URL".to_owned(), backing.redis_url.clone()),
            ("ONEKEEL_NOT_RUN_FILE".to_owned(), not_run.display().to_string()),
            ("ONEKEEL_SUMMARY_FILE".to_owned(), summary.display().to_string()),
            ("ONEKEEL_RELEASE_FOLDER".to_owned(), release_folder()?),
        ];
        environment.extend(SERVICES.map(|service| (password_variable(service), random_secret())));
        environment.extend(tools.environment());
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if wanted(Suite::Unit) {
            println!("== unit");
            let line = ["test", "--quiet", "--workspace", "--exclude", "onekeel-tests"];
            cargo(&line, &environment).await?;
        }
        for (suite, name) in SUITES.into_iter().filter(|(suite, _)| wanted(*suite)) {
            println!("== {name}");
            if suite == Suite::Bench {
                cargo(&["build", "--quiet", "--workspace", "--bins", "--features", BENCH], &[]).await?;
            }
            if suite == Suite::Memory {
                // The size of a program built for debugging says nothing about the one that is deployed, which is built
                // without what only the command and the tests need.
                let packages = SERVICES.map(|service| format!("--package=onekeel-{service}"));
                let mut line = vec!["build", "--quiet", "--release"];
                line.extend(packages.iter().map(String::as_str));
                cargo(&line, &[]).await?;
            }
            let line = ["test", "--quiet", "--package", "onekeel-tests", "--test", name];
            cargo(&line, &environment).await?;
        }
        tools.summarise(&not_run, &summary);
        Ok(())
    }
}

/// Tools with the places where they were found.
struct Found(Vec<(Option<PathBuf>, Tool)>);

impl Found {
    fn look() -> anyhow::Result<Self> {
        let look = |tool: Tool| ((tool.find)(tool.name), tool);
        let found = Self(TOOLS.into_iter().map(look).collect());
        let missing = found.0.iter().find(|(place, _)| place.is_none());
        if let (Some((_, tool)), true) = (missing, std::env::var_os(REQUIRE_TOOLS).is_some()) {
            bail!(
                "{} is not there, and {REQUIRE_TOOLS} is set; install it: {}",
                tool.name,
                tool.install
            );
        }
        Ok(found)
    }

    fn environment(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().filter_map(|(place, tool)| {
            let name = format!("ONEKEEL_TOOL_{}", tool.name.to_uppercase());
            Some((name, place.as_ref()?.display().to_string()))
        })
    }

    fn summarise(&self, not_run: &Path, summary: &Path) {
        let not_run = std::fs::read_to_string(not_run).unwrap_or_default();
        println!("== summary");
        print!("{}", std::fs::read_to_string(summary).unwrap_or_default());
        for (place, tool) in &self.0 {
            match place {
                Some(place) => println!("{}: {}", tool.name, place.display()),
                None => println!("{} is missing; install it: {}", tool.name, tool.install),
            }
        }
        if not_run.is_empty() {
            println!("all tests passed");
        } else {
            println!("all tests that ran passed; NOT RUN:\n{not_run}");
        }
    }
}

/// On the PATH, or where `go install` puts it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin"));
    std::env::split_paths(&path)
        .chain(home)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// The library that gives a program a clock of its own; Debian keeps it in a folder for each architecture.
fn library_of_faketime(name: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
    std::iter::once(PathBuf::from("/usr/local/lib"))
        .chain(folders)
        .map(|folder| folder.join(name).join("libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

/// Where this project's scripts keep what they fetched.
fn cached_folder(name: &str) -> Option<PathBuf> {
    let set = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = set.map(PathBuf::from).or_else(home)?;
    Some(cache.join("onekeel").join(name)).filter(|folder| folder.is_dir())
}
