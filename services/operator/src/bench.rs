//! What the benchmark is asked: the words of `onekeel bench`, which its driver reads too.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The ratios to reach, each of the product to a control in the same minute.
    Ratios,
    /// What a call costs as tenants and rows grow, and beside a second lead server.
    Growth,
    /// The same job by a small program in Node.js, beside ours.
    Peer,
    /// How often GetLead and CreateLead ask for memory.
    Allocations,
}

/// How it is measured, and where the results go.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What is measured.
    #[arg(value_enum, default_value = "ratios")]
    pub what: What,
    /// Only these rows of the table, by name; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Rounds of each variant, one after the other in turn; the median of fewer than five says little.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: u16,
    /// Seconds of a round; PostgreSQL's own benchmark takes whole ones.
    #[arg(long, default_value_t = 1.2, value_parser = parse_seconds)]
    pub seconds: f64,
    /// Calls at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub streams: u16,
    /// Tenants: 1,000, and up to 10,000 for growth.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tenants: Option<u32>,
    /// Only so many of the tenants call; all without it. Growth has all of them call.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub active: Option<u32>,
    /// Leads, at least 60 of each tenant: 1,000,000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(60..=100_000_000))]
    pub rows: Option<u32>,
    /// Growth goes on to ten million rows; that takes some minutes more and 10 GB.
    #[arg(long)]
    pub large: bool,
    /// Measures on a busy machine too; the output says so.
    #[arg(long)]
    pub force: bool,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draws every round of every ratio.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Puts the table into a document, between the marks that name what was measured.
    #[arg(long, value_name = "FILE.md")]
    pub markdown: Option<PathBuf>,
}

impl Options {
    /// Whether the row `name` is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.05..=60.0).contains(seconds));
    seconds.ok_or_else(|| "must be a number from 0.05 to 60".to_owned())
}
