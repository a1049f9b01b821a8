//! Which events a list shows.
use onekeel_api::Fault;
use onekeel_api::filter::{Comparison, TimeRange, comparisons, invalid, once};

/// What every listed event must be; all of it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub created: TimeRange,
    pub resource_id: Option<String>,
    pub caller: Option<String>,
    /// The full name, or its last part.
    pub method: Option<String>,
}

impl Filter {
    pub fn read(text: &str) -> Result<Self, Fault> {
        let mut filter = Self::default();
        for comparison in comparisons(text)? {
            filter.add(comparison)?;
        }
        Ok(filter)
    }

    fn add(&mut self, comparison: Comparison) -> Result<(), Fault> {
        if comparison.field == "create_time" {
            return self.created.add(&comparison);
        }
        comparison.by_equality()?;
        let Comparison { field, value, .. } = comparison;
        match field.as_str() {
            "resource_id" => once(&mut self.resource_id, &field, value),
            "caller" => once(&mut self.caller, &field, value),
            "method" => once(&mut self.method, &field, value),
            _ => Err(invalid(&format!(
                "knows resource_id, caller, method and create_time, not {field}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_who_what_and_when() {
        let read = Filter::read(r#"caller = "ann" AND method = UpdateLead AND create_time < 2026-11-01T00:00:00Z"#);
        let read = read.expect("a filter");
        assert_eq!(
            (read.caller.as_deref(), read.method.as_deref()),
            (Some("ann"), Some("UpdateLead"))
        );
        assert!(read.created.before.is_some() && read.created.from.is_none());
        assert_eq!(Filter::read("").expect("no filter"), Filter::default());
        for (bad, named) in [("role = admin", "knows resource_id"), ("caller > ann", "by = only")] {
            let fault = Filter::read(bad).expect_err(bad);
            assert!(fault.violations()[0].1.contains(named), "{bad}: {fault:?}");
        }
    }
}
