//! How much memory a lead server holds.
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context;

use crate::bench::Bench;
use crate::jobs::{Create, Get};
use crate::load::{Dice, Job};
use crate::outcome::{Goal, Outcome};
use crate::variant::Variant;

/// One call in so many writes.
const WRITES: u32 = 4;
/// Calls at once, and the goals.
const LOADS: [(usize, &str, Goal); 2] = [
    (
        64,
        "the lead server with 64 calls at once, at its highest",
        Goal::AtMost(24.0, 20.0),
    ),
    (
        512,
        "the lead server with 512 calls at once, at its highest",
        Goal::AtMost(56.0, 40.0),
    ),
];

/// Reads and writes as users mix them.
struct Mixed {
    get: Get,
    create: Create,
}

impl Job for Mixed {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        if dice.below(WRITES) == 0 {
            return self.create.call(dice).await;
        }
        self.get.call(dice).await
    }
}

/// A fresh server, and the same under two loads.
pub async fn memory(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    bench.world.stack.server("lead", 0)?.kill_and_restart().await?;
    let watched = bench.world.watched("lead", 0)?;
    let id = watched.server.context("it has just started")?;
    let what = "resident memory of the lead server, idle";
    let idle = Outcome::new(
        "memory",
        what,
        "MB",
        Goal::AtMost(16.0, 12.0),
        vec![megabytes(id, "VmRSS:")?],
    );
    let mut outcomes = vec![idle];
    for (callers, what, goal) in LOADS {
        let create = Create {
            leads: bench.leads(0)?,
            created: Arc::new(AtomicU64::new(0)),
        };
        let job = Mixed {
            get: Get {
                leads: bench.leads(0)?,
                stored: true,
                among: u32::MAX,
            },
            create,
        };
        let variant = Variant::calls("reads and writes", job, callers, &watched);
        bench.alternate("memory", &[&variant]).await?;
        outcomes.push(Outcome::new("memory", what, "MB", goal, vec![megabytes(id, "VmHWM:")?]));
    }
    Ok(outcomes)
}

fn megabytes(id: u32, what: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(what));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.context("the kernel does not say")?.parse::<f64>()? / 1024.0)
}
