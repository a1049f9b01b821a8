//! Calls that change nothing.
use crate::bench::Bench;
use crate::jobs::{Get, Leads, List};
use crate::load::Measured;
use crate::outcome::{Goal, Outcome};
use crate::scripts;
use crate::variant::Variant;

/// Leads that fit into every cache.
const HOT: u32 = 1_000;

/// One call in so many is traced.
const TRACED: u64 = 100;
/// So many expected spans do not all stay away by chance.
const SURELY: u64 = 20;

/// The echo that has no layers.
async fn bare(bench: &mut Bench, name: &'static str) -> anyhow::Result<Variant> {
    let program = bench.world.program("bench-bare").await?;
    let (address, watched) = (program.address(), program.watched().clone());
    let job = Get {
        leads: Leads::of(&bench.world, &address)?,
        stored: false,
        among: u32::MAX,
    };
    Ok(Variant::calls(name, job, bench.callers(), &watched))
}

/// The product's GetLead of the first `among` leads.
fn ours(bench: &mut Bench, name: &'static str, among: u32) -> anyhow::Result<Variant> {
    let watched = bench.world.watched("lead", 0)?;
    let job = Get {
        leads: bench.leads(0)?,
        stored: true,
        among,
    };
    Ok(Variant::calls(name, job, bench.callers(), &watched))
}

/// One and the same thing twice: what differs is the machine.
pub async fn control(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let (one, other) = (bare(bench, "bare echo").await?, bare(bench, "bare echo again").await?);
    let goal = Goal::Between(0.9, 1.1);
    let (outcome, ..) = bench
        .compare(("control", "bare echo / itself", goal), &one, &other)
        .await?;
    Ok(vec![outcome])
}

/// What the layers cost: the same handler behind the product's stack and behind nothing.
pub async fn echo(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let program = bench.world.program("bench-echo").await?;
    let (address, watched) = (program.address(), program.watched().clone());
    let job = Get {
        leads: Leads::of(&bench.world, &address)?,
        stored: false,
        among: u32::MAX,
    };
    let layered = Variant::calls("layered echo", job, bench.callers(), &watched);
    let bare = bare(bench, "bare echo").await?;
    let seen = bench.world.spans();
    let what = "echo, authenticated, admitted, metered, 1 % traced / bare";
    let (rate, ours, control) = bench
        .compare(("echo", what, Goal::AtLeast(0.9, 0.95)), &layered, &bare)
        .await?;
    let processor = ours.ratios(&control, Measured::server_micros);
    let what = "the same: processor time of the server for each call";
    let processor = Outcome::new("echo", what, "×", Goal::AtMost(1.15, 1.05), processor);
    let expected: u64 = ours.rounds.iter().map(|round| round.units / TRACED).sum();
    let spans = bench.world.spans_after(seen, expected > SURELY).await?;
    let spans = Outcome::new(
        "echo",
        "spans that arrived meanwhile",
        "",
        Goal::None,
        vec![spans as f64],
    );
    Ok(vec![rate, processor, spans])
}

/// A lead that no cache holds.
pub async fn get(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let ours = ours(bench, "GetLead", u32::MAX)?;
    let direct = Variant::pgbench("pgbench get", bench.script("get", scripts::GET)?);
    let what = "GetLead of any lead / pgbench begin-set-select-commit";
    let (outcome, ..) = bench
        .compare(("get", what, Goal::AtLeast(0.55, 1.25)), &ours, &direct)
        .await?;
    Ok(vec![outcome])
}

/// A lead that a cache could hold.
pub async fn hit(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let ours = ours(bench, "GetLead, hot", HOT)?;
    let bare = bare(bench, "bare echo").await?;
    let what = "GetLead of a thousand hot leads / bare echo";
    let (outcome, ..) = bench
        .compare(("hit", what, Goal::AtLeast(0.6, 0.9)), &ours, &bare)
        .await?;
    Ok(vec![outcome])
}

/// The page that most ask for, by a process that remembers what it answered and by one that remembers nothing.
pub async fn list(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let watched = bench.world.watched("lead", 0)?;
    let job = List { leads: bench.leads(0)? };
    let known = Variant::calls("ListLeads", job, bench.callers(), &watched);
    let program = bench.world.program("lead").await?;
    let (address, watched) = (program.address(), program.watched().clone());
    let job = List {
        leads: Leads::of(&bench.world, &address)?,
    };
    let read = Variant::calls("ListLeads, read", job, bench.callers(), &watched);
    let direct = Variant::pgbench("pgbench list", bench.script("list", scripts::LIST)?);
    let what = "ListLeads of the newest 50 / pgbench of the same page";
    let (known, ..) = bench
        .compare(("list", what, Goal::AtLeast(0.8, 1.1)), &known, &direct)
        .await?;
    let what = "the same, by a server that remembers no page";
    let (read, ..) = bench.compare(("list", what, Goal::None), &read, &direct).await?;
    Ok(vec![known, read])
}
