//! What the doctor saw: one line for each check, and what to do where something is wrong.
use std::fmt::Write;

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, and may not for long; or could not be looked at.
    Warning,
    /// Does not work, or is not safe.
    Failure,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "FAILURE",
        }
    }
}

/// One check.
#[derive(Serialize)]
struct Finding {
    name: String,
    status: Status,
    seen: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
}

/// All of them, in the order in which they were made.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

/// What `--json` prints.
#[derive(Serialize)]
pub struct Report<'a> {
    ok: usize,
    warnings: usize,
    failures: usize,
    checks: &'a [Finding],
}

impl Findings {
    pub fn ok(&mut self, name: impl Into<String>, seen: impl Into<String>) {
        self.add(name, Status::Ok, seen, "");
    }

    pub fn warning(&mut self, name: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) {
        self.add(name, Status::Warning, seen, advice);
    }

    pub fn failure(&mut self, name: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) {
        self.add(name, Status::Failure, seen, advice);
    }

    /// `Ok` without advice, as anything else with it.
    pub fn judge(&mut self, name: impl Into<String>, status: Status, seen: impl Into<String>, advice: &str) {
        self.add(name, status, seen, if status == Status::Ok { "" } else { advice });
    }

    fn add(&mut self, name: impl Into<String>, status: Status, seen: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding {
            name: name.into(),
            status,
            seen: seen.into(),
            advice: advice.into(),
        });
    }

    fn count(&self, status: Status) -> usize {
        self.0.iter().filter(|finding| finding.status == status).count()
    }

    pub fn have_failure(&self) -> bool {
        self.count(Status::Failure) > 0
    }

    pub fn report(&self) -> Report<'_> {
        Report {
            ok: self.count(Status::Ok),
            warnings: self.count(Status::Warning),
            failures: self.count(Status::Failure),
            checks: &self.0,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let width = self
            .0
            .iter()
            .map(|finding| finding.name.len())
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for finding in &self.0 {
            let (status, name) = (finding.status.name(), &finding.name);
            writeln!(text, "{status:<8} {name:<width$}  {}", finding.seen).expect("a string takes it");
            if !finding.advice.is_empty() {
                writeln!(text, "{:<8} {:<width$}  -> {}", "", "", finding.advice).expect("a string takes it");
            }
        }
        let report = self.report();
        writeln!(
            text,
            "\n{} checks: {} ok, {} warnings, {} failures",
            self.0.len(),
            report.ok,
            report.warnings,
            report.failures
        )
        .expect("a string takes it");
        text
    }
}

/// Names with commas between, or what stands for none.
pub fn listed<T: ToString>(names: &[T], none: &str) -> String {
    if names.is_empty() {
        return none.to_owned();
    }
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
