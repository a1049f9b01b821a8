//! Collects everything that is wrong with a request, so that the caller mends it in one go.
use std::ops::RangeInclusive;

use uuid::Uuid;

use crate::{Fault, is_prose, is_text};

/// Field violations found so far.
#[derive(Debug, Default)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `field` breaks a rule unless `ok`; `description` says what would be right.
    pub fn check(&mut self, ok: bool, field: &str, description: impl Into<String>) {
        if !ok {
            self.add(field, description);
        }
    }

    /// Notes that `field` breaks a rule.
    pub fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push((field.to_owned(), description.into()));
    }

    /// Notes that `text` has a number of characters outside of `length`, or a control character.
    pub fn text(&mut self, field: &str, text: &str, length: RangeInclusive<usize>) {
        let fits = is_text(text, *length.end()) && text.chars().count() >= *length.start();
        let description = format!("{}, none of them a control character", characters(&length));
        self.check(fits, field, description);
    }

    /// As [`Violations::text`], with line breaks and tabs.
    pub fn prose(&mut self, field: &str, text: &str, length: RangeInclusive<usize>) {
        let fits = is_prose(text, *length.end()) && text.chars().count() >= *length.start();
        self.check(fits, field, characters(&length));
    }

    /// A UUID that the caller may leave out.
    pub fn optional_uuid(&mut self, field: &str, text: &str) -> Option<Uuid> {
        let id = Uuid::try_parse(text).ok();
        self.check(text.is_empty() || id.is_some(), field, "must be a UUID, or empty");
        id
    }

    /// A UUID; nil, and a violation, where it is none.
    pub fn uuid(&mut self, field: &str, text: &str) -> Uuid {
        let id = Uuid::try_parse(text);
        self.check(
            id.is_ok(),
            field,
            "must be a UUID, for example 0198c5a0-7e6b-7c3a-9a51-1f0c2d3e4f50",
        );
        id.unwrap_or_default()
    }

    /// The violations as `(field, description)`.
    pub fn list(&self) -> &[(String, String)] {
        &self.0
    }

    /// `INVALID_ARGUMENT` with every violation, or nothing.
    pub fn into_result(self) -> Result<(), Fault> {
        let mut violations = self.0.into_iter();
        let Some((field, description)) = violations.next() else {
            return Ok(());
        };
        Err(
            violations.fold(Fault::invalid(&field, &description), |fault, (field, description)| {
                fault.violation(&field, &description)
            }),
        )
    }
}

fn characters(length: &RangeInclusive<usize>) -> String {
    match length.start() {
        0 => format!("must be at most {} characters", length.end()),
        start => format!("must be {start} to {} characters", length.end()),
    }
}
