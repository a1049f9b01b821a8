//! One file for each command.

mod acting;
pub mod api_key;
pub mod audit;
pub mod bench;
mod build;
mod calls;
pub mod completions;
pub mod demo;
pub mod dev;
pub mod docs;
pub mod doctor;
pub mod domain;
pub mod keys;
pub mod migrate;
mod output;
pub mod permissions;
pub mod prepare;
pub mod quota;
mod remote;
pub mod test;
pub mod token;
mod trace;
pub mod usage;

pub use output::{WrongUsage, print_json};

use std::time::Duration;

use onekeel_operator::private::Backing;
use onekeel_operator::stack::{Plan, Stack};

/// What work may still take after Ctrl-C.
const LONGEST_FAREWELL: Duration = Duration::from_millis(500);

/// Runs `work` on a stack of its own, and ends the stack whatever came of it; Ctrl-C ends the work first.
async fn on_stack<W>(plan: &Plan, work: W) -> anyhow::Result<()>
where
    W: AsyncFnOnce(&Stack) -> anyhow::Result<()>,
{
    let backing = Backing::start().await?;
    let stack = Stack::start(&backing, plan).await?;
    let worked = {
        let mut work = std::pin::pin!(work(&stack));
        tokio::select! {
            worked = work.as_mut() => worked,
            // Work that waits for Ctrl-C itself hears it too, now or a moment later, and ends well by it.
            _ = tokio::signal::ctrl_c() => tokio::time::timeout(LONGEST_FAREWELL, work)
                .await
                .unwrap_or_else(|_| Err(anyhow::anyhow!("interrupted"))),
        }
    };
    let stopped = stack.stop().await;
    worked.and(stopped)
}
