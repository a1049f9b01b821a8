//! What was measured, as a table, as JSON, as a page's part, as a picture.
mod page;
mod plot;

use std::time::Duration;

use console::style;
use onekeel_operator::bench::Options;
use serde::Serialize;

use crate::bench::Bench;
use crate::load::Measured;
use crate::machine::Machine;
use crate::outcome::{Goal, Outcome, Verdict};
use crate::world::Sizes;

/// A run and its rows.
#[derive(Serialize)]
pub struct Report {
    /// The command that made it.
    pub command: String,
    /// Where.
    pub machine: Machine,
    /// On how much.
    pub sizes: Sizes,
    /// Rounds of each variant.
    pub rounds: u16,
    /// Seconds of a round.
    pub seconds: f64,
    /// Calls at once.
    pub callers: u16,
    /// Whether it was wanted however busy the machine was.
    pub forced: bool,
    /// Whether one and the same thing differed from itself, so that no ratio says anything.
    pub void: bool,
    /// The rows.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// A run that begins now.
    pub async fn begin(bench: &Bench) -> anyhow::Result<Self> {
        let postgres: String = sqlx::query_scalar("select current_setting('server_version')")
            .fetch_one(&bench.world.behind)
            .await?;
        Ok(Self::on(postgres, bench.world.sizes, &bench.options))
    }

    /// A run on this PostgreSQL.
    pub fn on(postgres: String, sizes: Sizes, options: &Options) -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        Self {
            command: format!("cargo onekeel bench {}", words.join(" ")).trim_end().to_owned(),
            machine: Machine::look(postgres),
            sizes,
            rounds: options.rounds,
            seconds: options.seconds,
            callers: options.streams,
            forced: options.force,
            void: false,
            outcomes: Vec::new(),
        }
    }

    /// Adds rows, and prints them.
    pub fn add(&mut self, outcomes: Vec<Outcome>) {
        if self.outcomes.is_empty() {
            println!(
                "{:<74} {:>10}  {:^17}  {:>6} {:>7}  ",
                "", "median", "min–max", "reach", "stretch"
            );
        }
        for outcome in outcomes {
            print_row(&outcome);
            self.void |= outcome.name == "control" && outcome.verdict() == Verdict::Missed;
            self.outcomes.push(outcome);
        }
    }

    /// Writes what was asked for; returns whether all goals were reached, or nobody may judge by this run.
    pub fn finish(&self, options: &Options, took: Duration) -> anyhow::Result<bool> {
        println!("\n{}\n{}; {:.0} s", self.command, self.place(), took.as_secs_f64());
        for doubt in self.doubts() {
            println!("{}", style(&doubt).yellow());
        }
        if let Some(path) = &options.json {
            std::fs::write(path, serde_json::to_string_pretty(self)?)?;
        }
        if let Some(path) = &options.plot {
            std::fs::write(path, plot::draw(self))?;
        }
        if let Some(path) = &options.markdown {
            page::write(self, options.what, path)?;
        }
        let missed = self.outcomes.iter().any(|outcome| outcome.verdict() == Verdict::Missed);
        Ok(self.forced || !(self.void || missed))
    }

    /// Where and on how much it was measured, in one line.
    pub fn place(&self) -> String {
        let machine = &self.machine;
        format!(
            "{}, {} GB, Linux {}, PostgreSQL {}; {} tenants, {} of which call, {} leads; {} calls at once, {} rounds of {} s; {}",
            machine.processor,
            machine.memory,
            machine.kernel,
            machine.postgres,
            self.sizes.tenants,
            self.sizes.active,
            self.sizes.rows,
            self.callers,
            self.rounds,
            self.seconds,
            machine.date
        )
    }

    /// Why these numbers may not be trusted.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.void {
            doubts.push("VOID: one and the same thing differed from itself by more than a tenth".to_owned());
        }
        if self.forced {
            let busy = if self.machine.is_busy() {
                "the machine was busy"
            } else {
                "nobody looked whether it stayed quiet"
            };
            doubts.push(format!("FORCED: {busy}; these numbers are for trying only"));
        }
        if !self.machine.release {
            doubts.push("DEBUG: the programs were not built for release".to_owned());
        }
        doubts
    }
}

fn print_row(outcome: &Outcome) {
    let (least, most) = outcome.range();
    let range = format!("{}–{}", number(least), number(most));
    let (reach, stretch) = goals(outcome.goal);
    let value = format!("{} {}", number(outcome.median()), outcome.unit);
    let verdict = match outcome.verdict() {
        Verdict::Stretch => style("stretch").green().bold(),
        Verdict::Reached => style("reached").green(),
        Verdict::Missed => style("MISSED").red().bold(),
        Verdict::Told => style("").dim(),
    };
    let what: String = format!("{:<9} {}", outcome.name, outcome.what)
        .chars()
        .take(74)
        .collect();
    println!("{what:<74} {value:>10}  {range:^17}  {reach:>6} {stretch:>7}  {verdict}");
    for rounds in &outcome.rounds {
        let (rate, server) = (rounds.median(Measured::rate), rounds.median(Measured::server_micros));
        let all = rounds.median(Measured::all_micros);
        let line = format!(
            "{:<10}{:<34} {rate:>9.0}/s  {server:>7.1} µs server  {all:>7.1} µs all",
            "", rounds.name
        );
        println!("{}", style(line).dim());
    }
}

/// The goals as the table shows them.
pub fn goals(goal: Goal) -> (String, String) {
    match goal {
        Goal::AtLeast(reach, stretch) => (format!("≥ {}", number(reach)), format!("≥ {}", number(stretch))),
        Goal::AtMost(reach, stretch) => (format!("≤ {}", number(reach)), format!("≤ {}", number(stretch))),
        Goal::Between(least, most) => (format!("{}–{}", number(least), number(most)), String::new()),
        Goal::None => (String::new(), String::new()),
    }
}

/// Three digits, as far as there are any.
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
