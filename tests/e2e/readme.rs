//! The README's tour, command by command, against a running suite.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_tests::{Dev, World};

/// A change is effective everywhere within 2 s; a command whose refusal follows from one is tried this long.
const EFFECTIVE: Duration = Duration::from_secs(3);

/// A command and what it prints.
struct Step {
    command: String,
    printed: Vec<String>,
}

/// The steps in the blocks of `text` that begin with `$ `; a command goes on after a line that ends with `\`.
fn steps(text: &str) -> Vec<Step> {
    let blocks = text.split("\n```\n").filter(|block| block.starts_with("$ "));
    let step = |block: &str| {
        let lines: Vec<&str> = block.lines().collect();
        let last = lines.iter().position(|line| !line.ends_with('\\')).unwrap_or_default();
        let (command, printed) = lines.split_at(last + 1);
        Step {
            command: command.join("\n").trim_start_matches("$ ").to_owned(),
            printed: printed.iter().map(|line| (*line).to_owned()).collect(),
        }
    };
    blocks.map(step).collect()
}

/// Lines without what differs from run to run: ids, times, units that wait in a lease (and the comma before them).
fn plain(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let lines = lines.into_iter().filter(|line| !line.as_ref().contains("\"reserved\""));
    let masked = lines.map(|line| {
        let line = line.as_ref().split_whitespace().collect::<Vec<_>>().join(" ");
        let words = line.trim_end_matches(',').split('"').map(|word| {
            let hex = word.chars().all(|char| char.is_ascii_hexdigit() || char == '-');
            let time = word.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(word).is_ok();
            if (word.len() >= 32 && hex) || time { "…" } else { word }
        });
        words.collect::<Vec<_>>().join("\"")
    });
    masked.filter(|line| !line.is_empty()).collect()
}

async fn walks(dev: &Dev, step: &Step) -> anyhow::Result<()> {
    let expected = plain(&step.printed);
    let refused = expected.first().is_some_and(|line| line.starts_with("ERROR"));
    let deadline = tokio::time::Instant::now() + EFFECTIVE;
    let mut round = tokio::time::interval(Duration::from_millis(100));
    loop {
        round.tick().await;
        let ran = dev.shell(&step.command).await?;
        let printed = plain(ran.out.lines().chain(ran.err.lines()));
        if printed == expected {
            return Ok(());
        }
        let late = tokio::time::Instant::now() > deadline;
        ensure!(
            refused && ran.code == Some(0) && !late,
            "printed\n{}\ninstead of\n{}",
            printed.join("\n"),
            expected.join("\n")
        );
    }
}

pub async fn the_readmes_tour_works_literally(world: Arc<World>) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let steps = steps(&std::fs::read_to_string(path)?);
    ensure!(steps.len() >= 8, "only {} steps", steps.len());
    let dev = Dev::start(&world, &[]).await?;
    for step in &steps {
        walks(&dev, step).await.with_context(|| step.command.clone())?;
    }
    println!("{} commands of the README print what it says", steps.len());
    dev.stop().await
}
