//! The table of ratios, row by row.
mod fairness;
mod memory;
mod quota;
mod reads;
mod writes;

pub use reads::control;

use std::time::Instant;

use anyhow::ensure;
use onekeel_operator::bench::Options;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;

use crate::bench::Bench;
use crate::outcome::Outcome;
use crate::progress;
use crate::report::Report;
use crate::world::{DURABLE, Sizes, World};

/// Every row, in the order in which it is measured.
const ROWS: [&str; 11] = [
    "control",
    "echo",
    "get",
    "hit",
    "list",
    "create",
    "import",
    "allowance",
    "fairness",
    "memory",
    "reserve",
];

/// Measures the rows that are wanted, and tells; returns whether all goals were reached.
pub async fn ratios(options: Options) -> anyhow::Result<bool> {
    for name in &options.only {
        ensure!(
            ROWS.contains(&name.as_str()),
            "--only {name} is no row; these are: {}",
            ROWS.join(", ")
        );
    }
    let began = Instant::now();
    progress::say("starting PostgreSQL and Redis");
    let backing = Backing::start_private_with(DURABLE).await?;
    let sizes = Sizes::wanted(&options);
    let world = World::start(&backing, sizes, Plan::default()).await?;
    let mut bench = Bench { world, options };
    let mut report = Report::begin(&bench).await?;
    let mut wrong = None;
    let wanted = bench.options.clone();
    // Without the control, nobody knows whether the others say anything.
    for name in ROWS.into_iter().filter(|name| *name == "control" || wanted.wants(name)) {
        match row(&mut bench, name).await {
            Ok(outcomes) => report.add(outcomes),
            Err(error) => {
                wrong = Some(error.context(format!("{name} is not measured")));
                break;
            }
        }
    }
    let options = bench.options.clone();
    let stopped = bench.world.stop().await;
    if let Some(error) = wrong {
        return Err(error);
    }
    stopped?;
    report.finish(&options, began.elapsed())
}

async fn row(bench: &mut Bench, name: &str) -> anyhow::Result<Vec<Outcome>> {
    match name {
        "control" => control(bench).await,
        "echo" => reads::echo(bench).await,
        "get" => reads::get(bench).await,
        "hit" => reads::hit(bench).await,
        "list" => reads::list(bench).await,
        "create" => writes::create(bench).await,
        "import" => writes::import(bench).await,
        "allowance" => quota::allowance(bench).await,
        "fairness" => fairness::fairness(bench).await,
        "memory" => memory::memory(bench).await,
        "reserve" => quota::reserve(bench).await,
        _ => Ok(Vec::new()),
    }
}
