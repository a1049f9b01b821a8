//! Runs a suite: its tests as libtest would, with a stack that is started before and ended after them.
use std::fmt::Write;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use onekeel_operator::stack::Plan;

use crate::World;

/// A running test.
pub type Body = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A test: its name is a sentence, its body gets the suite's stack.
pub struct Test {
    /// Name of the function.
    pub name: &'static str,
    /// Real programs that it needs, by their names in [`tool`].
    pub tools: &'static [&'static str],
    /// The body.
    pub body: fn(Arc<World>) -> Body,
}

/// Makes [`Test`]s of async functions; `with helm` behind one names a program that it needs.
#[macro_export]
macro_rules! tests {
    ($($($path:ident)::+ $(with $($tool:ident),+)?);* $(;)?) => {
        vec![$($crate::Test {
            name: stringify!($($path)::+),
            tools: &[$($(stringify!($tool)),+)?],
            body: |world| Box::pin($($path)::+(world)),
        }),*]
    };
}

/// Where `cargo onekeel test` found the program `name`.
pub fn tool(name: &str) -> Option<PathBuf> {
    std::env::var_os(format!("ONEKEEL_TOOL_{}", name.to_uppercase())).map(PathBuf::from)
}

/// Where lines for the summary of `cargo onekeel test` are written.
const SUMMARY: &str = "ONEKEEL_SUMMARY_FILE";

/// Prints `text`, and has the summary of the whole run show it again.
pub fn summarise(text: &str) -> anyhow::Result<()> {
    println!("{text}");
    let Some(file) = std::env::var_os(SUMMARY) else {
        return Ok(());
    };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    Ok(std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())?)
}

/// Where the names of tests that do not run are written, for the summary of `cargo onekeel test`.
const NOT_RUN: &str = "ONEKEEL_NOT_RUN_FILE";

/// A test whose program is missing is named, never passed over in silence.
fn report_missing(tests: &[Test]) -> std::io::Result<()> {
    let mut lines = String::new();
    for test in tests {
        let missing: Vec<_> = test.tools.iter().filter(|name| tool(name).is_none()).copied().collect();
        if !missing.is_empty() {
            writeln!(lines, "{} (for want of {})", test.name, missing.join(", ")).expect("a string takes it");
        }
    }
    let Some(file) = std::env::var_os(NOT_RUN) else {
        return Ok(());
    };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    std::io::Write::write_all(&mut file, lines.as_bytes())
}

/// Starts a stack by `plan`, runs the tests, ends the stack.
pub fn run_suite(plan: &Plan, tests: Vec<Test>) -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return fail(&error.into()),
    };
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(tests, &runtime, None)).exit_code();
    }
    if let Err(error) = report_missing(&tests) {
        return fail(&error.into());
    }
    let world = match runtime.block_on(World::start(plan)) {
        Ok(world) => Arc::new(world),
        Err(error) => return fail(&error),
    };
    let conclusion = libtest_mimic::run(&arguments, trials(tests, &runtime, Some(&world)));
    let ended = match Arc::try_unwrap(world) {
        Ok(world) => runtime.block_on(world.stop()),
        Err(_) => Err(anyhow::anyhow!("a test still holds the stack")),
    };
    match ended {
        Ok(()) => conclusion.exit_code(),
        Err(error) => fail(&error),
    }
}

fn trials(tests: Vec<Test>, runtime: &Arc<tokio::runtime::Runtime>, world: Option<&Arc<World>>) -> Vec<Trial> {
    let trial = |test: Test| {
        let (runtime, world) = (runtime.clone(), world.cloned());
        let missing = test.tools.iter().any(|name| tool(name).is_none());
        let body = move || {
            let world = world.ok_or("no stack is running")?;
            runtime
                .block_on((test.body)(world))
                .map_err(|error| Failed::from(format!("{error:?}")))
        };
        Trial::test(test.name, body).with_ignored_flag(missing)
    };
    tests.into_iter().map(trial).collect()
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("the suite could not run: {error:?}");
    ExitCode::FAILURE
}
