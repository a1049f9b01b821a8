//! A trace as lines for a terminal: who did what below whom, when, and for how long.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use console::{Color, Style};

use super::{Kind, Span};

const BAR: usize = 28;
/// Eighths of a character, so that short spans are not all alike.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const COLORS: [Color; 5] = [Color::Cyan, Color::Green, Color::Magenta, Color::Yellow, Color::Blue];
const PREFIX: &str = "onekeel-";

/// Whether nothing is missing of what was sent below the span `caller`: one span right below it, every other span's
/// parent, and the other side of every call. A server sends a span after all that stands below it, so these are all.
pub fn is_complete(spans: &[Span], caller: &str) -> bool {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    let answered: BTreeSet<&str> = spans
        .iter()
        .filter(|span| span.kind == Kind::Server)
        .map(|span| span.parent.as_str())
        .collect();
    let mut roots = spans.iter().filter(|span| !ids.contains(span.parent.as_str()));
    roots.next().is_some_and(|root| root.parent == caller)
        && roots.next().is_none()
        && spans
            .iter()
            .filter(|span| span.is_call() && !span.failed)
            .all(|span| answered.contains(span.span_id.as_str()))
}

/// A complete trace.
pub struct Tree<'a> {
    spans: &'a [Span],
    children: BTreeMap<&'a str, Vec<&'a Span>>,
    root: &'a Span,
}

struct Line<'a> {
    span: &'a Span,
    label: String,
}

impl<'a> Tree<'a> {
    /// A tree of the spans of one trace, below the span `caller` of whoever began it; none while they are not complete.
    pub fn of(spans: &'a [Span], caller: &str) -> Option<Self> {
        if !is_complete(spans, caller) {
            return None;
        }
        let root = spans.iter().find(|span| span.parent == caller)?;
        let mut children: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
        for span in spans {
            children.entry(&span.parent).or_default().push(span);
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|span| (span.start, span.end));
        }
        Some(Self { spans, children, root })
    }

    fn lines(&self) -> Vec<Line<'a>> {
        let mut lines = vec![Line {
            span: self.root,
            label: title(self.root),
        }];
        self.add_below(self.root, "", &mut lines);
        lines
    }

    fn add_below(&self, span: &'a Span, indent: &str, lines: &mut Vec<Line<'a>>) {
        let below = self.children.get(span.span_id.as_str()).map_or(&[][..], Vec::as_slice);
        for (place, child) in below.iter().enumerate() {
            let last = place + 1 == below.len();
            let (branch, further) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            lines.push(Line {
                span: child,
                label: format!("{indent}{branch}{}", title(child)),
            });
            self.add_below(child, &format!("{indent}{further}"), lines);
        }
    }

    /// A bar where the span lies within the trace, at least one eighth wide.
    fn bar(&self, span: &Span) -> String {
        let whole = (self.root.end - self.root.start).max(1) as f64;
        let eighths = (BAR * 8) as f64;
        let at = |time: u64| time.saturating_sub(self.root.start) as f64 / whole * eighths;
        let (from, to) = (at(span.start).min(eighths - 1.0), at(span.end).min(eighths));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "both lie within the bar"
        )]
        let (blank, filled) = ((from / 8.0) as usize, (to - from).round().max(1.0) as usize);
        let mut bar = " ".repeat(blank);
        bar.push_str(&"█".repeat(filled / 8));
        if filled % 8 > 0 {
            bar.push(EIGHTHS[filled % 8 - 1]);
        }
        bar
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<&str> = {
            let mut seen = Vec::new();
            for span in self.lines().iter().map(|line| line.span) {
                if !seen.contains(&short(&span.service)) {
                    seen.push(short(&span.service));
                }
            }
            seen
        };
        let lines = self.lines();
        let service_width = services.iter().map(|name| name.len()).max().unwrap_or_default();
        let label_width = lines
            .iter()
            .map(|line| line.label.chars().count())
            .max()
            .unwrap_or_default();
        writeln!(
            f,
            "trace {}: {} spans of {} services in {}\n",
            self.root.trace_id,
            self.spans.len(),
            services.len(),
            duration(self.root).trim()
        )?;
        for Line { span, label } in &lines {
            let service = short(&span.service);
            let place = services.iter().position(|name| *name == service).unwrap_or_default();
            let color = Style::new().fg(COLORS[place % COLORS.len()]);
            let note = note(span);
            let note = if span.failed {
                Style::new().red().apply_to(note)
            } else {
                Style::new().dim().apply_to(note)
            };
            let line = format!(
                "{}  {label}{}  {}  {}  {note}",
                color.apply_to(format!("{service:<service_width$}")),
                " ".repeat(label_width - label.chars().count()),
                color.apply_to(format!("{:<BAR$}", self.bar(span))),
                duration(span),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn short(service: &str) -> &str {
    service.strip_prefix(PREFIX).unwrap_or(service)
}

/// A method without its package; what a client calls has an arrow before it.
fn title(span: &Span) -> String {
    let method = span.attribute("rpc.method");
    if method.is_empty() {
        return span.name.clone();
    }
    let plain = method.rsplit_once('.').map_or(method, |(_, plain)| plain);
    let arrow = if span.kind == Kind::Client { "→ " } else { "" };
    format!("{arrow}{plain}")
}

fn duration(span: &Span) -> String {
    let milliseconds = span.end.saturating_sub(span.start) as f64 / 1e6;
    format!("{milliseconds:>8.2} ms")
}

/// What is worth a word beside the name.
fn note(span: &Span) -> String {
    let attribute = |name| span.attribute(name);
    let mut notes = Vec::new();
    let (code, reason) = (attribute("rpc.response.status_code"), attribute("error.reason"));
    match span.kind {
        Kind::Server => notes.extend([code.to_owned(), format!("tenant {}", attribute("tenant.id"))]),
        Kind::Client if span.is_call() => {
            notes.push(format!("{}:{}", attribute("server.address"), attribute("server.port")));
        }
        Kind::Client => notes.push(format!("{} {}", attribute("db.system.name"), attribute("db.namespace"))),
        Kind::Internal if !attribute("db.system.name").is_empty() => notes.push("transaction".to_owned()),
        Kind::Internal => {}
    }
    notes.push(reason.to_owned());
    notes.retain(|note| !note.is_empty() && note != "tenant ");
    notes.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, kind: Kind, name: &str, (start, end): (u64, u64)) -> Span {
        let call = kind != Kind::Internal;
        let method = call.then(|| ("rpc.method".to_owned(), format!("onekeel.a.v1.{name}")));
        Span {
            service: "onekeel-lead".to_owned(),
            trace_id: "1".repeat(32),
            span_id: id.to_owned(),
            parent: parent.to_owned(),
            state: String::new(),
            name: name.to_owned(),
            kind,
            start: start * 1_000_000,
            end: end * 1_000_000,
            failed: false,
            attributes: method.into_iter().collect(),
        }
    }

    #[test]
    fn a_trace_is_a_tree_when_nothing_is_missing() {
        let mut spans = vec![
            span("d", "c", Kind::Server, "B/Two", (4, 6)),
            span("c", "b", Kind::Client, "B/Two", (3, 7)),
            span("b", "a", Kind::Internal, "work", (2, 8)),
        ];
        assert!(Tree::of(&spans, "a").is_some(), "below a caller");
        assert!(
            Tree::of(&spans, "x").is_none(),
            "below another caller: its own span is missing"
        );
        spans.push(span("e", "a", Kind::Internal, "more", (8, 9)));
        assert!(Tree::of(&spans, "a").is_none(), "two without a parent");
        spans.push(span("a", "x", Kind::Server, "A/One", (0, 10)));
        let text = Tree::of(&spans, "x").expect("complete").to_string();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        for (line, said) in lines
            .iter()
            .zip(["A/One", "├─ work", "│  └─ → B/Two", "│     └─ B/Two", "└─ more"])
        {
            assert!(line.starts_with(&format!("lead  {said}")), "{text}");
        }
        assert!(lines[1].contains("    6.00 ms"), "{text}");
        let bars: Vec<usize> = lines
            .iter()
            .filter_map(|line| line.chars().position(|letter| letter == '█'))
            .collect();
        assert_eq!(bars.len(), 5, "every span has a bar: {text}");
        assert!(
            bars.is_sorted_by_key(|bar| *bar) || bars[4] > bars[3],
            "bars lie where the time is: {text}"
        );
        spans.remove(0);
        assert!(Tree::of(&spans, "x").is_none(), "the other side of a call is missing");
    }
}
