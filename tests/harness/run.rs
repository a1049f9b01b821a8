//! Runs a suite: its tests as libtest would, with a stack that is started before and ended after them.
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
    /// Whether it needs the real grpcurl.
    pub needs_grpcurl: bool,
    /// The body.
    pub body: fn(Arc<World>) -> Body,
}

/// Makes [`Test`]s of async functions.
#[macro_export]
macro_rules! tests {
    ($($($path:ident)::+),* $(,)?) => {
        vec![$($crate::Test {
            name: stringify!($($path)::+),
            needs_grpcurl: stringify!($($path)::+).contains("grpcurl"),
            body: |world| Box::pin($($path)::+(world)),
        }),*]
    };
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
        let body = move || {
            let world = world.ok_or("no stack is running")?;
            runtime
                .block_on((test.body)(world))
                .map_err(|error| Failed::from(format!("{error:?}")))
        };
        Trial::test(test.name, body).with_ignored_flag(test.needs_grpcurl)
    };
    tests.into_iter().map(trial).collect()
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("the suite could not run: {error:?}");
    ExitCode::FAILURE
}
