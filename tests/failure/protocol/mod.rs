//! The protocol of leases against a model of it, in random sequences that shrink when they fail.
mod driver;
mod ledger;
mod model;
mod steps;
mod transactions;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_operator::stack::Plan;
use onekeel_tests::{World, summarise};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use driver::Driver;
use steps::sequence;

/// When set, other sequences than always.
const VARIABLE: &str = "ONEKEEL_PROPTEST_SEED";
const SEQUENCES: u32 = 32;
const MOST_SHRINKS: u32 = 150;
/// What must have happened, or nothing was proved.
const MUST_HAPPEN: [&str; 17] = [
    "reserve: granted",
    "reserve: same",
    "reserve: conflict",
    "reserve: exceeded",
    "reserve: in use",
    "charge",
    "commit",
    "abort",
    "cancel",
    "cheat refused",
    "settle: ended",
    "settle: in use",
    "release",
    "expire",
    "fold",
    "limit",
    "crash",
];

/// How often each thing happened.
pub type Counts = BTreeMap<&'static str, usize>;

fn seed() -> anyhow::Result<u64> {
    match std::env::var(VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{VARIABLE} is no number: {text}")),
        Err(_) => Ok(1),
    }
}

fn runner(seed: u64) -> TestRunner {
    let config = Config {
        cases: SEQUENCES,
        max_shrink_iters: MOST_SHRINKS,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

pub async fn any_sequence_of_lease_steps_keeps_the_accounts(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let seed = seed()?;
    let world = RefCell::new(World::start(&Plan::default()).await?);
    let counts = RefCell::new(Counts::new());
    let ran = runner(seed).run(&sequence(), |steps| {
        let mut world = world.borrow_mut();
        let run = async {
            let mut driver = Driver::new(&mut world, &counts).await?;
            driver.run(&steps).await
        };
        let ran: anyhow::Result<()> = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(run));
        ran.map_err(|error| TestCaseError::fail(format!("{error:?}")))
    });
    match ran {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => {
            anyhow::bail!("{VARIABLE}={seed}: {reason}\nthe smallest sequence that fails: {steps:#?}")
        }
        Err(TestError::Abort(reason)) => anyhow::bail!("{VARIABLE}={seed}: {reason}"),
    }
    let counts = counts.into_inner();
    let mut text = format!("{SEQUENCES} sequences of lease steps, {VARIABLE}={seed}");
    for (what, times) in &counts {
        write!(text, ", {what} {times}").expect("a string takes it");
    }
    summarise(&text)?;
    for what in MUST_HAPPEN {
        ensure!(counts.contains_key(what), "{what:?} never happened");
    }
    world.into_inner().stop().await
}
