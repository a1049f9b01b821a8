//! The table as a part of a page, between marks that name what was measured.
use std::fmt::Write;
use std::path::Path;

use onekeel_operator::bench::What;

use super::{Report, goals, number};
use crate::load::Measured;
use crate::outcome::Verdict;

/// Puts the report where the last one of its kind was, or at the end of the page.
pub fn write(report: &Report, what: What, path: &Path) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let name = format!("{what:?}").to_lowercase();
    let (begin, end) = (format!("<!-- bench {name} -->"), format!("<!-- end {name} -->"));
    let part = format!("{begin}\n{}{end}\n", table(report));
    let old = page
        .split_once(&begin)
        .and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let page = match old {
        Some((head, tail)) => format!("{head}{part}{}", tail.trim_start_matches('\n')),
        None => format!("{page}\n{part}"),
    };
    Ok(std::fs::write(path, page)?)
}

fn table(report: &Report) -> String {
    let mut text = format!("`{}`  \n{}\n\n", report.command, report.place());
    for doubt in report.doubts() {
        let _infallible = writeln!(text, "**{doubt}**\n");
    }
    text.push_str("| row | what | median | min–max | reach | stretch | |\n|---|---|---|---|---|---|---|\n");
    for outcome in &report.outcomes {
        let (least, most) = outcome.range();
        let (reach, stretch) = goals(outcome.goal);
        let verdict = match outcome.verdict() {
            Verdict::Stretch => "stretch",
            Verdict::Reached => "reached",
            Verdict::Missed => "**missed**",
            Verdict::Told => "",
        };
        let _infallible = writeln!(
            text,
            "| `{}` | {} | {} {} | {}–{} | {reach} | {stretch} | {verdict} |",
            outcome.name,
            outcome.what,
            number(outcome.median()),
            outcome.unit,
            number(least),
            number(most),
        );
    }
    text.push_str("\n| variant | units/s | server µs | all µs |\n|---|---|---|---|\n");
    for rounds in report.outcomes.iter().flat_map(|outcome| &outcome.rounds) {
        let _infallible = writeln!(
            text,
            "| {} | {:.0} | {:.1} | {:.1} |",
            rounds.name,
            rounds.median(Measured::rate),
            rounds.median(Measured::server_micros),
            rounds.median(Measured::all_micros),
        );
    }
    text
}
