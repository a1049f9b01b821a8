//! How often a lead server asks for memory in a call.
use anyhow::Context;
use onekeel_operator::bench::Options;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::bench::Bench;
use crate::jobs::{Create, Get, Leads};
use crate::load::{Dice, Job};
use crate::outcome::{Goal, Outcome};
use crate::progress;
use crate::report::Report;
use crate::world::{DURABLE, Sizes, World};

/// Calls of a round, one after the other: what is made once and what chores do is spread over them.
const CALLS: u32 = 500;
const SIZES: Sizes = Sizes {
    tenants: 4,
    rows: 1_000,
    active: 4,
};

/// Measures both calls, and tells.
pub async fn allocations(options: Options) -> anyhow::Result<bool> {
    let began = std::time::Instant::now();
    let backing = Backing::start_private_with(DURABLE).await?;
    let world = World::start(&backing, SIZES, Plan::default()).await?;
    let mut bench = Bench {
        world,
        options: options.clone(),
    };
    let mut report = Report::begin(&bench).await?;
    let program = bench.world.program("bench-counted").await?;
    let (address, counts) = (program.address(), program.counts().to_owned());
    let leads = Leads::of(&bench.world, &address)?;
    let get = Get {
        leads: leads.clone(),
        stored: true,
        among: u32::MAX,
    };
    let create = Create {
        leads,
        created: std::sync::Arc::default(),
    };
    report.add(of_calls("GetLead", &get, &bench, &counts).await?);
    report.add(of_calls("CreateLead", &create, &bench, &counts).await?);
    bench.world.stop().await?;
    report.finish(&options, began.elapsed())
}

async fn of_calls<J: Job>(name: &'static str, job: &J, bench: &Bench, counts: &str) -> anyhow::Result<Vec<Outcome>> {
    let mut dice = Dice::new(1);
    let bar = progress::bar(name, u64::from(bench.options.rounds) + 1);
    let (mut allocations, mut bytes) = (Vec::new(), Vec::new());
    for round in 0..=bench.options.rounds {
        let before = read(counts).await?;
        for _ in 0..CALLS {
            job.call(&mut dice).await?;
        }
        let after = read(counts).await?;
        // The first round makes what is made once.
        if round > 0 {
            allocations.push((after.0 - before.0) / f64::from(CALLS));
            bytes.push((after.1 - before.1) / f64::from(CALLS));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(vec![
        Outcome::new(name, "allocations of a call", "", Goal::None, allocations),
        Outcome::new(name, "bytes of them", "B", Goal::None, bytes),
    ])
}

/// Allocations and bytes so far.
async fn read(address: &str) -> anyhow::Result<(f64, f64)> {
    let mut line = String::new();
    TcpStream::connect(address).await?.read_to_string(&mut line).await?;
    let (allocations, bytes) = line.trim().split_once(' ').context("no counts")?;
    Ok((allocations.parse()?, bytes.parse()?))
}
