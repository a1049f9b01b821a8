//! Collects everything that is wrong with a request, so that the caller mends it in one go.
use crate::Fault;

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
