//! Which leads a list shows: a filter over fields that have an index.
use onekeel_api::Fault;
use onekeel_api::filter::{Comparison, TimeRange, comparisons, invalid, once};
use onekeel_api::lead::LeadStatus;

/// What every listed lead must be; all of it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub status: Option<i16>,
    pub source: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub external_id: Option<String>,
    pub updated: TimeRange,
}

impl Filter {
    /// Reads `field op value`, joined by `AND`.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let mut filter = Self::default();
        for comparison in comparisons(text)? {
            filter.add(comparison)?;
        }
        Ok(filter)
    }

    /// The same as `status = …`; given twice, both must name one status.
    pub fn and_status(mut self, status: i32) -> Result<Self, Fault> {
        let status = LeadStatus::try_from(status);
        let status = status.map_err(|_| Fault::invalid("status", "must be a status of the contract"))?;
        if status != LeadStatus::Unspecified {
            once(&mut self.status, "status", number(status))?;
        }
        Ok(self)
    }

    fn add(&mut self, comparison: Comparison) -> Result<(), Fault> {
        if comparison.field == "update_time" {
            return self.updated.add(&comparison);
        }
        comparison.by_equality()?;
        let Comparison { field, value, .. } = comparison;
        match field.as_str() {
            "status" => once(&mut self.status, &field, status(&value)?),
            "source" => once(&mut self.source, &field, value),
            "email" => once(&mut self.email, &field, value.trim().to_lowercase()),
            "phone" => once(&mut self.phone, &field, value),
            "external_id" => once(&mut self.external_id, &field, value),
            _ => Err(invalid(&format!(
                "knows status, source, email, phone, external_id and update_time, not {field}"
            ))),
        }
    }
}

fn status(name: &str) -> Result<i16, Fault> {
    let known = LeadStatus::from_str_name(&format!("LEAD_STATUS_{name}")).or_else(|| LeadStatus::from_str_name(name));
    let known = known.filter(|status| *status != LeadStatus::Unspecified);
    known
        .map(number)
        .ok_or_else(|| invalid("knows the statuses NEW, CONTACTED, QUALIFIED, CONVERTED and REJECTED"))
}

fn number(status: LeadStatus) -> i16 {
    i16::try_from(i32::from(status)).expect("the contract numbers its statuses from 0 to 5")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn comparisons_are_read_and_joined() {
        let read = Filter::read(
            r#"status = QUALIFIED AND source="we\"b" AND email = "Ann@Example.com"
                AND update_time >= "2026-11-01T00:00:00Z" AND update_time <= 2026-11-02T00:00:00Z"#,
        );
        let read = read.expect("a filter");
        assert_eq!(read.status, Some(3));
        assert_eq!(read.source.as_deref(), Some("we\"b"));
        assert_eq!(read.email.as_deref(), Some("ann@example.com"));
        let span = read.updated.before.expect("an end") - read.updated.from.expect("a beginning");
        let tick = TimeDelta::microseconds(1);
        assert_eq!(span, TimeDelta::days(1) + tick);
        assert_eq!(Filter::read("  ").expect("no filter"), Filter::default());
        assert_eq!(
            Filter::read("status=LEAD_STATUS_NEW").expect("the long name").status,
            Some(1)
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_mend() {
        for (bad, named) in [
            ("status", "no complete comparison"),
            ("status =", "no complete comparison"),
            ("status QUALIFIED x", "operator"),
            ("status = = x", "no value"),
            ("status = GOLD", "NEW, CONTACTED"),
            ("status = UNSPECIFIED", "NEW, CONTACTED"),
            ("status > NEW", "by = only"),
            ("company = \"x\"", "knows status"),
            ("status = NEW OR source = a", "by AND"),
            ("status = NEW AND", "ends with AND"),
            ("status = NEW AND status = NEW", "twice"),
            ("source = \"a", "closing quote"),
            ("source = \"\\n\"", "escape"),
            ("source = (a)", "cannot read"),
            ("update_time = \"2026-11-01T00:00:00Z\"", ">=, >, <= or <"),
            ("update_time > yesterday", "a time such as"),
            ("\"status\" = NEW", "no field"),
            ("source = \"\0\"", "U+0000"),
            (&"x".repeat(1001), "1000 characters"),
        ] {
            let fault = Filter::read(bad).expect_err(bad);
            let (field, description) = &fault.violations()[0];
            assert!(field == "filter" && description.contains(named), "{bad}: {description}");
        }
    }

    #[test]
    fn a_status_is_named_once() {
        let filter = Filter::read("source = web").expect("a filter");
        assert_eq!(filter.clone().and_status(2).expect("a status").status, Some(2));
        assert_eq!(filter.clone().and_status(0).expect("none"), filter);
        assert!(filter.and_status(9).is_err());
        let named = Filter::read("status = NEW").expect("a filter");
        assert!(named.and_status(1).is_err());
    }
}
