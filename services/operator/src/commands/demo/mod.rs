//! `onekeel demo`
mod journey;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use onekeel_api::lead::Lead;
use onekeel_operator::stack::{Plan, Stack};
use onekeel_operator::{sample, spreadsheet};

use self::journey::Journey;
use super::build::build_servers;
use super::calls::{Imported, create_tenant, grpcurl_lines};
use super::on_stack;

const BASIC_LEADS: i64 = 1_000;
const PROFESSIONAL_LEADS: i64 = 10_000;
/// Runs the main job end to end and checks every claim it prints: two tenants, an import that stops exactly at the
/// plan's limit, an upgrade, a suspension, the rate limit.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo onekeel demo
  cargo onekeel demo --csv leads.csv --map 'Mail=email' --map 'Firm=company'
  cargo onekeel demo --keep")]
pub struct Demo {
    /// Leads to import; a generated sample without it.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// What a column means, as `Column=field`; may be repeated.
    #[arg(long = "map", value_name = "COLUMN=FIELD")]
    mapping: Vec<String>,
    /// Keeps the suite up until Ctrl-C, to try the printed grpcurl lines.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub async fn run(self) -> anyhow::Result<()> {
        say("building the servers");
        build_servers().await?;
        let began = Instant::now();
        say("starting PostgreSQL, Redis and four servers");
        on_stack(&Plan::default(), async |stack: &Stack| self.journey(stack, began).await).await
    }

    async fn journey(&self, stack: &Stack, began: Instant) -> anyhow::Result<()> {
        let leads = self.read_leads(stack)?;
        let (acme, _) = create_tenant(stack, "Acme", "acme", "basic").await?;
        let (globex, _) = create_tenant(stack, "Globex", "globex", "basic").await?;
        say(&format!("two tenants on the basic plan: Acme {acme}, Globex {globex}"));
        let mut journey = Journey::new(stack, acme, globex)?;
        say(&format!(
            "Acme imports {} rows; its plan allows {BASIC_LEADS} leads",
            leads.len()
        ));
        let first = journey.import_up_to_the_limit(&leads).await?;
        say(&format!(
            "first import done {:.1} s after the build",
            began.elapsed().as_secs_f64()
        ));
        journey.other_tenant_sees_nothing(&first).await?;
        journey.upgrade().await?;
        say(&format!(
            "Acme imports the file again; its plan now allows {PROFESSIONAL_LEADS}"
        ));
        let second = journey.import_the_rest(&leads, &first).await?;
        journey.rate_limit().await?;
        journey.suspend().await?;

        print_table(leads.len(), &first, &second);
        println!("\nto try, while `cargo onekeel demo --keep` or `cargo onekeel dev` runs:");
        println!("{}", grpcurl_lines(stack, acme)?);
        if self.keep {
            println!("\nCtrl-C ends it.");
            tokio::signal::ctrl_c().await?;
        }
        Ok(())
    }

    fn read_leads(&self, stack: &Stack) -> anyhow::Result<Vec<Lead>> {
        let path = match &self.csv {
            Some(path) => path.clone(),
            None => {
                let path = stack.folder().join("sample.csv");
                sample::write(&path)?;
                path
            }
        };
        let sheet = spreadsheet::read(&path, &self.mapping)?;
        say(&format!("{}: {} rows", path.display(), sheet.leads.len()));
        say(&format!("  columns: {}", sheet.mapped.join(", ")));
        say(&format!("  left out: {}", sheet.ignored.join(", ")));
        Ok(sheet.leads)
    }
}

fn print_table(rows: usize, first: &Imported, second: &Imported) {
    println!(
        "\n{:<14}{:>10}{:>12}{:>12}{:>10}{:>10}{:>10}",
        "import", "created", "over quota", "duplicate", "invalid", "seconds", "rows/s"
    );
    for (name, imported) in [("basic", first), ("professional", second)] {
        let (answer, seconds) = (&imported.answer, imported.took.as_secs_f64());
        println!(
            "{name:<14}{:>10}{:>12}{:>12}{:>10}{seconds:>10.2}{:>10.0}",
            answer.created,
            answer.over_quota,
            answer.duplicate,
            answer.invalid,
            rows as f64 / seconds
        );
    }
}

fn say(line: &str) {
    println!("{line}");
}
