//! `onekeel docs`
mod configuration;
mod errors;

use std::path::Path;

use anyhow::Context;
use clap::{Args, Command};

/// Writes the pages of `docs/` that are made from the code; run it in the project's root.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo onekeel docs           writes the pages
  cargo onekeel docs --check   changes nothing; exit code 1 when a page is not what the code says")]
pub struct Docs {
    /// Changes nothing; fails when a page is not what the code says.
    #[arg(long)]
    check: bool,
}

/// A page that is made from the code: where it lies, and its text. `onekeel` is this command itself.
struct Page {
    path: &'static str,
    render: fn(onekeel: &Command) -> anyhow::Result<String>,
}

/// Every such page; a new one needs a line here and a file beside this one.
const PAGES: [Page; 4] = [
    Page {
        path: "docs/configuration.md",
        render: configuration::render,
    },
    Page {
        path: "docs/errors.md",
        render: errors::render,
    },
    Page {
        path: "docs/metrics.md",
        render: |_onekeel| Ok(onekeel_telemetry::catalogue::page()),
    },
    Page {
        path: "docs/permissions.md",
        render: |_onekeel| super::permissions::page(),
    },
];

impl Docs {
    pub fn run(&self, onekeel: &Command) -> anyhow::Result<()> {
        let mut stale = Vec::new();
        for page in PAGES {
            let fresh = (page.render)(onekeel).context(page.path)?;
            let path = Path::new(page.path);
            if std::fs::read_to_string(path).is_ok_and(|text| text == fresh) {
                println!("{} is fresh", page.path);
                continue;
            }
            if self.check {
                stale.push(page.path);
                continue;
            }
            let written = std::fs::write(path, fresh);
            written.with_context(|| format!("cannot write {}; run this in the project's root", page.path))?;
            println!("{} written", page.path);
        }
        anyhow::ensure!(
            stale.is_empty(),
            "{} not what the code says; run `cargo onekeel docs` and commit",
            match stale.as_slice() {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        );
        Ok(())
    }
}
