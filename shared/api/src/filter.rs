//! Filters of lists: a subset of AIP-160. Comparisons of a field with a value, joined by `AND`; which fields there are, and
//! what they are compared by, each list says for itself.
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use crate::Fault;

const LONGEST: usize = 1000;
/// The database's clock ticks in microseconds, so "after" is "from the next one on".
const TICK: TimeDelta = TimeDelta::microseconds(1);

/// One comparison of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The field's name.
    pub field: String,
    /// `=`, `<`, `<=`, `>`, `>=` or `==`.
    pub operator: String,
    /// What it is compared with.
    pub value: String,
}

impl Comparison {
    /// Refuses every operator but `=`.
    pub fn by_equality(&self) -> Result<(), Fault> {
        if self.operator == "=" {
            return Ok(());
        }
        let Self { field, operator, .. } = self;
        Err(invalid(&format!("compares {field} by = only, not by {operator}")))
    }
}

/// Reads `field op value`, joined by `AND`; none in an empty text.
pub fn comparisons(text: &str) -> Result<Vec<Comparison>, Fault> {
    if text.chars().count() > LONGEST {
        return Err(invalid(&format!("must be at most {LONGEST} characters")));
    }
    let mut read = Vec::new();
    let mut words = words(text)?.into_iter();
    while let Some(word) = words.next() {
        let field = if read.is_empty() {
            word
        } else {
            if word != Word::Plain("AND".to_owned()) {
                return Err(invalid(&format!("joins comparisons by AND, not by {word}")));
            }
            words.next().ok_or_else(|| invalid("ends with AND"))?
        };
        let (Some(operator), Some(value)) = (words.next(), words.next()) else {
            return Err(invalid(&format!("has no complete comparison after {field}")));
        };
        read.push(comparison(field, operator, value)?);
    }
    Ok(read)
}

fn comparison(field: Word, operator: Word, value: Word) -> Result<Comparison, Fault> {
    let Word::Plain(field) = field else {
        return Err(invalid(&format!("compares a field with a value; {field} is no field")));
    };
    let Word::Operator(operator) = operator else {
        return Err(invalid(&format!("needs an operator between {field} and {operator}")));
    };
    let value = match value {
        Word::Plain(text) | Word::Quoted(text) => text,
        Word::Operator(_) => return Err(invalid(&format!("has no value for {field}"))),
    };
    Ok(Comparison { field, operator, value })
}

/// Puts a field's value in its place, which is still empty.
pub fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(&format!("bounds {name} twice"))),
    }
}

/// What is wrong with a filter.
pub fn invalid(description: &str) -> Fault {
    Fault::invalid("filter", description)
}

/// The bounds of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// From this time on.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub before: Option<DateTime<Utc>>,
}

impl TimeRange {
    /// Adds a bound; each of the two once.
    pub fn add(&mut self, comparison: &Comparison) -> Result<(), Fault> {
        let Comparison { field, operator, value } = comparison;
        let time = DateTime::parse_from_rfc3339(value).map(|time| time.with_timezone(&Utc));
        let needed = || invalid(&format!("needs a time such as \"2026-11-01T00:00:00Z\" for {field}"));
        let time = time.map_err(|_| needed())?;
        let (below, above) = (format!("{field} from below"), format!("{field} from above"));
        match operator.as_str() {
            ">=" => once(&mut self.from, &below, time),
            ">" => once(&mut self.from, &below, time + TICK),
            "<" => once(&mut self.before, &above, time),
            "<=" => once(&mut self.before, &above, time + TICK),
            _ => Err(invalid(&format!("compares {field} by >=, >, <= or <"))),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Plain(String),
    Quoted(String),
    Operator(String),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
