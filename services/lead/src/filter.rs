//! Which leads a list shows: a subset of AIP-160, over fields that have an index.
use chrono::{DateTime, TimeDelta, Utc};
use onekeel_api::Fault;
use onekeel_api::lead::LeadStatus;

const LONGEST: usize = 1000;
/// The database's clock ticks in microseconds, so "after" is "from the next one on".
const TICK: TimeDelta = TimeDelta::microseconds(1);

/// What every listed lead must be; all of it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub status: Option<i16>,
    pub source: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub external_id: Option<String>,
    pub updated_from: Option<DateTime<Utc>>,
    pub updated_before: Option<DateTime<Utc>>,
}

impl Filter {
    /// Reads `field op value`, joined by `AND`.
    pub fn read(text: &str) -> Result<Self, Fault> {
        if text.chars().count() > LONGEST {
            return Err(invalid(&format!("must be at most {LONGEST} characters")));
        }
        let mut filter = Self::default();
        let mut words = words(text)?.into_iter();
        let mut first = true;
        while let Some(word) = words.next() {
            let field = if first {
                word
            } else {
                if word != Word::Plain("AND".to_owned()) {
                    return Err(invalid(&format!("joins comparisons by AND, not by {word}")));
                }
                words.next().ok_or_else(|| invalid("ends with AND"))?
            };
            first = false;
            let (Some(operator), Some(value)) = (words.next(), words.next()) else {
                return Err(invalid(&format!("has no complete comparison after {field}")));
            };
            filter.add(&field, &operator, value)?;
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

    fn add(&mut self, field: &Word, operator: &Word, value: Word) -> Result<(), Fault> {
        let Word::Plain(name) = field else {
            return Err(invalid(&format!("compares a field with a value; {field} is no field")));
        };
        let Word::Operator(operator) = operator else {
            return Err(invalid(&format!("needs an operator between {name} and {operator}")));
        };
        let value = match value {
            Word::Plain(text) | Word::Quoted(text) => text,
            Word::Operator(_) => return Err(invalid(&format!("has no value for {name}"))),
        };
        if name == "update_time" {
            return self.add_time(operator, &value);
        }
        if operator != "=" {
            return Err(invalid(&format!("compares {name} by = only, not by {operator}")));
        }
        match name.as_str() {
            "status" => once(&mut self.status, name, status(&value)?),
            "source" => once(&mut self.source, name, value),
            "email" => once(&mut self.email, name, value.trim().to_lowercase()),
            "phone" => once(&mut self.phone, name, value),
            "external_id" => once(&mut self.external_id, name, value),
            _ => Err(invalid(&format!(
                "knows status, source, email, phone, external_id and update_time, not {name}"
            ))),
        }
    }

    fn add_time(&mut self, operator: &str, value: &str) -> Result<(), Fault> {
        let time = DateTime::parse_from_rfc3339(value).map(|time| time.with_timezone(&Utc));
        let time = time.map_err(|_| invalid("needs a time such as \"2026-11-01T00:00:00Z\" for update_time"))?;
        match operator {
            ">=" => once(&mut self.updated_from, "update_time from below", time),
            ">" => once(&mut self.updated_from, "update_time from below", time + TICK),
            "<" => once(&mut self.updated_before, "update_time from above", time),
            "<=" => once(&mut self.updated_before, "update_time from above", time + TICK),
            _ => Err(invalid("compares update_time by >=, >, <= or <")),
        }
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(&format!("bounds {name} twice"))),
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

fn invalid(description: &str) -> Fault {
    Fault::invalid("filter", description)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Plain(String),
    Quoted(String),
    Operator(String),
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) | Self::Operator(text) => f.write_str(text),
            Self::Quoted(text) => write!(f, "{text:?}"),
        }
    }
}

fn words(text: &str) -> Result<Vec<Word>, Fault> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            '"' => quoted(rest)?,
            '=' | '<' | '>' => {
                let length = if rest[1..].starts_with('=') { 2 } else { 1 };
                (Word::Operator(rest[..length].to_owned()), length)
            }
            _ => {
                let inner = |char: char| char.is_alphanumeric() || "_.:+@-".contains(char);
                let length = rest.find(|char| !inner(char)).unwrap_or(rest.len());
                if length == 0 {
                    return Err(invalid(&format!("cannot read {first:?}; text stands in double quotes")));
                }
                (Word::Plain(rest[..length].to_owned()), length)
            }
        };
        words.push(word);
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// A text in double quotes; `\"` and `\\` stand for `"` and `\`.
fn quoted(rest: &str) -> Result<(Word, usize), Fault> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((place, char)) = chars.next() {
        match char {
            '"' => return Ok((Word::Quoted(text), place + 1)),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                _ => return Err(invalid("knows \\\" and \\\\ in a text, no other escape")),
            },
            '\0' => return Err(invalid("must not hold the character U+0000")),
            _ => text.push(char),
        }
    }
    Err(invalid("holds a text without its closing quote"))
}

#[cfg(test)]
mod tests {
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
        let span = read.updated_before.expect("an end") - read.updated_from.expect("a beginning");
        assert_eq!(span, TimeDelta::days(1) + TICK);
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
