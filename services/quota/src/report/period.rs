//! A period of whole days (UTC), as a request names it.
use chrono::NaiveDate;
use onekeel_api::{Fault, Violations};

const LONGEST_DAYS: i64 = 366;
const FORMAT: &str = "%Y-%m-%d";
const LENGTH: usize = "2026-01-31".len();

/// A checked period; both days belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub start: NaiveDate,
    pub end: NaiveDate,
}

impl Period {
    pub fn read(start: &str, end: &str) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        let (start, end) = (date(&mut wrong, "start_date", start), date(&mut wrong, "end_date", end));
        if let (Some(start), Some(end)) = (start, end) {
            let days = (end - start).num_days() + 1;
            wrong.check(
                (1..=LONGEST_DAYS).contains(&days),
                "end_date",
                "must be `start_date`, or at most 365 days after it",
            );
        }
        wrong.into_result()?;
        let (start, end) = start
            .zip(end)
            .ok_or_else(|| Fault::internal("a date is neither good nor bad"))?;
        Ok(Self { start, end })
    }
}

/// A day as the contract writes it.
pub(super) fn write(day: NaiveDate) -> String {
    day.format(FORMAT).to_string()
}

pub(super) fn date(wrong: &mut Violations, field: &str, text: &str) -> Option<NaiveDate> {
    let read = NaiveDate::parse_from_str(text, FORMAT).ok();
    // The parser also takes signs and fewer digits.
    let read = read.filter(|day| text.len() == LENGTH && write(*day) == text);
    wrong.check(read.is_some(), field, "must be a day, for example 2026-01-31");
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_one_to_366_whole_days() {
        for (start, end) in [("2026-01-31", "2026-01-31"), ("2024-01-01", "2024-12-31")] {
            let period = Period::read(start, end).expect("a period");
            assert_eq!(
                (write(period.start), write(period.end)),
                (start.to_owned(), end.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_period_is_refused_with_the_field_named() {
        for (start, end, fields) in [
            ("", "", vec!["start_date", "end_date"]),
            ("2026-02-30", "2026-03-01", vec!["start_date"]),
            ("2026-1-31", "2026-01-31", vec!["start_date"]),
            ("2026-01-31", "+026-01-31", vec!["end_date"]),
            ("2026-01-31", "2026-01-30", vec!["end_date"]),
            ("2025-01-01", "2026-01-02", vec!["end_date"]),
        ] {
            let fault = Period::read(start, end).expect_err("no period");
            let named: Vec<&str> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!(named, fields, "{start} to {end}");
        }
    }
}
