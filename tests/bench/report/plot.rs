//! Every round of every row as a dot, on a scale on which the goal is in the middle and better is to the right.
use std::fmt::Write;

use super::{Report, number};
use crate::outcome::{Goal, Outcome};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 430.0;
const ROW: f64 = 30.0;
/// Doublings on each side of the goal.
const DOUBLINGS: f64 = 3.0;

/// An SVG document.
pub fn draw(report: &Report) -> String {
    let rows: Vec<&Outcome> = report
        .outcomes
        .iter()
        .filter(|outcome| !matches!(outcome.goal, Goal::None))
        .collect();
    let height = ROW * (rows.len() as f64 + 3.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n<text x='8' y='18'>{} · {}</text>\n",
        escape(&report.command),
        escape(&report.doubts().join("; "))
    );
    let _infallible = writeln!(
        svg,
        "<line x1='{x}' x2='{x}' y1='{ROW}' y2='{}' stroke='#888'/><text x='{x}' y='{}' text-anchor='middle'>goal</text>",
        height - ROW * 1.5,
        height - ROW,
        x = place(1.0)
    );
    for (line, outcome) in rows.iter().enumerate() {
        let y = ROW * (line as f64 + 1.8);
        let _infallible = writeln!(
            svg,
            "<text x='8' y='{}'>{} <tspan fill='#666'>{} {}</tspan></text>",
            y + 4.0,
            escape(&outcome.what.chars().take(48).collect::<String>()),
            number(outcome.median()),
            outcome.unit
        );
        for value in &outcome.values {
            let x = place(better(outcome.goal, *value));
            let _infallible = writeln!(
                svg,
                "<circle cx='{x:.1}' cy='{y}' r='3.5' fill='#36c' fill-opacity='0.5'/>"
            );
        }
        let x = place(better(outcome.goal, outcome.median()));
        let _infallible = writeln!(
            svg,
            "<line x1='{x:.1}' x2='{x:.1}' y1='{}' y2='{}' stroke='#c33' stroke-width='2'/>",
            y - 9.0,
            y + 9.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// How many times better than asked.
fn better(goal: Goal, value: f64) -> f64 {
    match goal {
        Goal::AtLeast(reach, _) => value / reach,
        Goal::AtMost(reach, _) => reach / value,
        Goal::Between(..) | Goal::None => value,
    }
}

fn place(times: f64) -> f64 {
    let doublings = times.log2().clamp(-DOUBLINGS, DOUBLINGS);
    LEFT + (WIDTH - LEFT - 20.0) * (doublings + DOUBLINGS) / (2.0 * DOUBLINGS)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
