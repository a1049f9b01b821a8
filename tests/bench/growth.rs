//! What a call costs as tenants and rows grow, and beside a second lead server.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use onekeel_operator::bench::Options;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;

use crate::bench::Bench;
use crate::jobs::{Create, Get, List};
use crate::load::{Measured, drive};
use crate::outcome::{Goal, Outcome};
use crate::processor::Watched;
use crate::progress;
use crate::report::Report;
use crate::rows::control;
use crate::scripts;
use crate::variant::Variant;
use crate::world::{DURABLE, Sizes, World};

/// What grows.
const PARTS: [&str; 3] = ["tenants", "rows", "replicas"];
const FEWEST_TENANTS: u32 = 10;
/// As many are asked for again and again in each size, so that caches hold the same.
const FEWEST_ROWS: u32 = 10_000;
const MOST_ROWS: u32 = 10_000_000;
/// Tenants while the rows grow.
const TENANTS: u32 = 100;
/// Rows of each of the most tenants, while the tenants grow.
const ROWS_EACH: u32 = 60;
const STEP: u32 = 10;
/// What is called. Of any lead, a process remembers nearly all where there are few, and few where there are many.
const SAME_LEADS: &str = "GetLead of the same leads";
const ANY_LEAD: &str = "GetLead of any lead";
/// What PostgreSQL needs for creations, without a server of ours.
const STATEMENTS: &str = "pgbench of CreateLead's statements";
const CALLS: [&str; 5] = [SAME_LEADS, ANY_LEAD, "ListLeads", "CreateLead", STATEMENTS];
const GOAL: Goal = Goal::AtMost(1.2, 1.05);
/// With many tenants, what servers do by the clock comes once a minute for each: a shorter look meets any part of it.
const CYCLE: Duration = Duration::from_secs(60);
const USUAL_ROUNDS: u16 = 5;

/// Measures all parts that are wanted, and tells; returns whether nothing grew by more than its goal.
pub async fn growth(options: Options) -> anyhow::Result<bool> {
    for name in &options.only {
        ensure!(
            PARTS.contains(&name.as_str()),
            "--only {name}: these are the parts: {}",
            PARTS.join(", ")
        );
    }
    let began = Instant::now();
    let tenants = options.tenants.unwrap_or(10_000);
    let rows = if options.large {
        MOST_ROWS
    } else {
        options.rows.unwrap_or(1_000_000)
    };
    let backing = Backing::start_private_with(DURABLE).await?;
    let most = Sizes::of(tenants, rows);
    let mut report = Report::on(backing_version(&backing).await?, most, &options);
    if options.wants("tenants") {
        let rows = tenants * ROWS_EACH;
        let sizes = steps(FEWEST_TENANTS, tenants).map(|tenants| Sizes::of(tenants, rows));
        grow(&backing, "tenants", sizes, &options, &mut report).await?;
    }
    if options.wants("rows") {
        let tenants = TENANTS.min(rows.min(FEWEST_ROWS) / ROWS_EACH).max(1);
        let sizes = steps(FEWEST_ROWS.min(rows), rows).map(|rows| Sizes::of(tenants, rows));
        grow(&backing, "rows", sizes, &options, &mut report).await?;
    }
    if options.wants("replicas") {
        replicas(&backing, &options, &mut report).await?;
    }
    report.finish(&options, began.elapsed())
}

/// From the fewest to the most, ten times as many each time.
fn steps(fewest: u32, most: u32) -> impl Iterator<Item = u32> {
    let steps = std::iter::successors(Some(fewest), |last| last.checked_mul(STEP));
    steps.take_while(move |step| *step < most).chain([most])
}

/// As many rounds as two variants in turn make in a cycle; fewer where fewer than usual are wished, to try it out.
fn rounds_of_a_cycle(options: &Options) -> u16 {
    if options.rounds < USUAL_ROUNDS {
        return options.rounds;
    }
    let pair = Duration::from_secs_f64(2.0 * options.seconds).as_millis().max(1);
    let rounds = u16::try_from(CYCLE.as_millis().div_ceil(pair));
    options.rounds.max(rounds.unwrap_or(u16::MAX))
}

async fn backing_version(backing: &Backing) -> anyhow::Result<String> {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(&backing.database_url).await?;
    let version = sqlx::query_scalar("select current_setting('server_version')");
    Ok(version.fetch_one(&mut connection).await?)
}

/// Servers with room for the newest page of each tenant, so that what grows is not what they have to read again.
fn roomy() -> Plan {
    Plan::default().with_env("NEWEST_PAGES_BYTES", "268435456")
}

/// A world for each size, all of them alive, and rounds of each larger one and the smallest in turn.
async fn grow(
    backing: &Backing,
    part: &'static str,
    sizes: impl Iterator<Item = Sizes>,
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut worlds = Vec::new();
    for sizes in sizes {
        progress::say(&format!("{} tenants, {} leads", sizes.tenants, sizes.rows));
        let world = World::start(backing, sizes, roomy()).await?;
        worlds.push(Bench {
            world,
            options: options.clone(),
        });
    }
    if let Some(first) = worlds.first_mut() {
        report.add(control(first).await?);
    }
    let calls = if part == "rows" { &CALLS[..4] } else { &CALLS[1..] };
    for call in calls.iter().copied() {
        let mut first = None;
        let by_the_clock = part == "tenants" && call != STATEMENTS;
        let rounds = if by_the_clock {
            rounds_of_a_cycle(options)
        } else {
            options.rounds
        };
        for bench in &mut worlds {
            first = Some(first_calls(bench, call).await?);
        }
        // Of the most tenants: beside fewer, what the servers do anyway is as much.
        if call == ANY_LEAD && part == "tenants" {
            report.add(first.into_iter().collect());
        }
        let variants: anyhow::Result<Vec<Variant>> = worlds.iter_mut().map(|bench| variant(bench, call)).collect();
        let variants = variants?;
        let (Some((smallest, larger)), Some((first, others))) = (variants.split_first(), worlds.split_first()) else {
            continue;
        };
        // Each beside the smallest: what servers do by the clock is a part of fewer calls the longer others have their turn.
        for (variant, bench) in larger.iter().zip(others) {
            let measured = bench.alternate_for(call, rounds, &[variant, smallest]).await?;
            let [ours, control] = &measured[..] else { continue };
            let (from, to) = (first.world.sizes, bench.world.sizes);
            let what = match part {
                "tenants" => format!("{call}: processor time at {} tenants / at {}", to.tenants, from.tenants),
                _ => format!("{call}: processor time at {} leads / at {}", to.rows, from.rows),
            };
            let goal = if call == STATEMENTS || (part == "rows" && call == ANY_LEAD) {
                Goal::None
            } else {
                GOAL
            };
            let ratios = ours.ratios(control, Measured::all_micros);
            report.add(vec![
                Outcome::new(part, what, "×", goal, ratios).with_rounds(&[ours, control]),
            ]);
        }
    }
    for bench in worlds {
        bench.world.stop().await?;
    }
    Ok(())
}

/// One call of each tenant; what such a call costs.
async fn first_calls(bench: &mut Bench, call: &str) -> anyhow::Result<Outcome> {
    let (leads, tenants) = (bench.leads(0)?, bench.world.sizes.tenants);
    let watched = bench.world.watched("lead", 0)?;
    let before = watched.spent()?;
    match call {
        "CreateLead" => bench.touch(Create::uncounted(leads)).await?,
        "ListLeads" => bench.touch(List { leads }).await?,
        STATEMENTS => {}
        _ => bench.touch(Get::any(leads)).await?,
    }
    let calls = Measured {
        units: tenants.into(),
        spent: watched.spent()? - before,
        ..Measured::default()
    };
    let what = format!("GetLead: processor time of a tenant's first call, the first of {tenants} tenants");
    Ok(Outcome::new(
        "tenants",
        what,
        "µs",
        Goal::None,
        vec![calls.all_micros()],
    ))
}

fn variant(bench: &mut Bench, call: &'static str) -> anyhow::Result<Variant> {
    let watched = bench.world.watched("lead", 0)?;
    let (leads, callers) = (bench.leads(0)?, bench.callers());
    Ok(match call {
        SAME_LEADS => {
            let same = Get {
                among: FEWEST_ROWS,
                ..Get::any(leads)
            };
            Variant::calls(call, same, callers, &watched)
        }
        ANY_LEAD => Variant::calls(call, Get::any(leads), callers, &watched),
        STATEMENTS => Variant::pgbench(call, bench.script("create", scripts::CREATE)?),
        "ListLeads" => Variant::calls(call, List { leads }, callers, &watched),
        _ => Variant::calls(call, Create::uncounted(leads), callers, &watched),
    })
}

/// Two lead servers on one PostgreSQL: what a call costs when both work, to what it costs when one does.
async fn replicas(backing: &Backing, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let rows = options.rows.unwrap_or(1_000_000).min(1_000_000);
    let tenants = options.tenants.unwrap_or(1_000).min(rows / ROWS_EACH).max(1);
    let world = World::start(backing, Sizes::of(tenants, rows), roomy().with("lead", 2)).await?;
    let mut bench = Bench {
        world,
        options: options.clone(),
    };
    report.add(control(&mut bench).await?);
    let mut watched = bench.world.watched("lead", 0)?;
    watched.peers.extend(bench.world.watched("lead", 1)?.server);
    let callers = (bench.callers() / 2).max(1);
    for call in ["GetLead", "CreateLead"] {
        let (one, both) = if call == "GetLead" {
            let jobs = [Arc::new(Get::any(bench.leads(0)?)), Arc::new(Get::any(bench.leads(1)?))];
            (alone(&jobs[0], callers, &watched), together(jobs, callers, &watched))
        } else {
            let jobs = [
                Arc::new(Create::uncounted(bench.leads(0)?)),
                Arc::new(Create::uncounted(bench.leads(1)?)),
            ];
            (alone(&jobs[0], callers, &watched), together(jobs, callers, &watched))
        };
        let measured = bench.alternate(call, &[&both, &one]).await?;
        let [both, one] = &measured[..] else { continue };
        let micros = both.ratios(one, Measured::all_micros);
        let what = format!("{call}: processor time with two lead servers / with one");
        report.add(vec![
            Outcome::new("replicas", what, "×", GOAL, micros).with_rounds(&[both, one]),
            Outcome::new(
                "replicas",
                format!("{call}: calls a second of both / of one"),
                "×",
                Goal::None,
                both.ratios(one, Measured::rate),
            ),
        ]);
    }
    bench.world.stop().await
}

fn alone<J: crate::load::Job>(job: &Arc<J>, callers: usize, watched: &Watched) -> Variant {
    let (job, watched) = (job.clone(), watched.clone());
    Variant::new("one server", move |seconds| {
        let (job, watched) = (job.clone(), watched.clone());
        Box::pin(async move { drive(&job, callers, seconds, &watched).await })
    })
}

fn together<J: crate::load::Job>(jobs: [Arc<J>; 2], callers: usize, watched: &Watched) -> Variant {
    let watched = watched.clone();
    Variant::new("two servers", move |seconds| {
        let (jobs, watched) = (jobs.clone(), watched.clone());
        Box::pin(async move {
            let nobody = Watched::default();
            let [one, other] = &jobs;
            let (one, other) = tokio::join!(
                drive(one, callers, seconds, &watched),
                drive(other, callers, seconds, &nobody)
            );
            let (one, other) = (one?, other?);
            Ok(Measured {
                units: one.units + other.units,
                ..one
            })
        })
    })
}
