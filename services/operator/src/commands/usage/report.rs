//! A report of use as people, programs and spreadsheets read it.
use std::fmt::Write;

use onekeel_api::quota::{Money, Usage, UsageReport, UsageUnit};
use serde::Serialize;

const HEAD: [&str; 8] = [
    "date",
    "requests",
    "errors",
    "rows",
    "bytes",
    "database_micros",
    "cost",
    "currency",
];

/// What a tenant used.
#[derive(Serialize)]
pub struct Report {
    tenant: String,
    days: Vec<Day>,
    total: Counts,
    costs: Vec<Amount>,
    price_lists: Vec<List>,
}

#[derive(Serialize)]
struct Day {
    date: String,
    #[serde(flatten)]
    counts: Counts,
    #[serde(flatten)]
    cost: Amount,
}

#[derive(Serialize)]
struct Counts {
    requests: i64,
    errors: i64,
    rows: i64,
    bytes: i64,
    database_micros: i64,
}

/// Money as decimal text: a number of JSON would be rounded by some who read it.
#[derive(Serialize)]
struct Amount {
    cost: String,
    currency: String,
}

#[derive(Serialize)]
struct List {
    start_date: String,
    currency: String,
    prices: Vec<Price>,
}

#[derive(Serialize)]
struct Price {
    unit: String,
    micros: i64,
    units: i64,
}

impl From<Usage> for Counts {
    fn from(usage: Usage) -> Self {
        Self {
            requests: usage.requests,
            errors: usage.errors,
            rows: usage.rows,
            bytes: usage.bytes,
            database_micros: usage.database_micros,
        }
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self {
            cost: format!("{}.{:06}", money.units, money.nanos / 1000),
            currency: money.currency_code,
        }
    }
}

impl Report {
    pub fn new(tenant: &str, report: UsageReport) -> Self {
        let day = |day: onekeel_api::quota::UsageDay| Day {
            date: day.date,
            counts: day.usage.unwrap_or_default().into(),
            cost: day.cost.unwrap_or_default().into(),
        };
        let price = |price: onekeel_api::quota::Price| Price {
            unit: unit_name(price.unit()),
            micros: price.micros,
            units: price.units,
        };
        let list = |list: onekeel_api::quota::PriceList| List {
            start_date: list.start_date,
            currency: list.currency_code,
            prices: list.prices.into_iter().map(price).collect(),
        };
        Self {
            tenant: tenant.to_owned(),
            days: report.days.into_iter().map(day).collect(),
            total: report.total.unwrap_or_default().into(),
            costs: report.costs.into_iter().map(Into::into).collect(),
            price_lists: report.price_lists.into_iter().map(list).collect(),
        }
    }

    /// A line for each day, quoted where it must be; sums are the reader's.
    pub fn csv(&self) -> anyhow::Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(HEAD)?;
        for day in &self.days {
            writer.write_record(cells(&day.date, &day.counts, &day.cost))?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    /// Columns for people: the days, and what they come to in each currency.
    pub fn table(&self) -> String {
        let days = self.days.iter().map(|day| cells(&day.date, &day.counts, &day.cost));
        let mut rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(days).collect();
        let none = Amount {
            cost: String::new(),
            currency: String::new(),
        };
        let (first, others) = self.costs.split_first().unwrap_or((&none, &[]));
        rows.push(cells("total", &self.total, first));
        for other in others {
            let mut row: [String; HEAD.len()] = Default::default();
            [row[6], row[7]] = [other.cost.clone(), other.currency.clone()];
            rows.push(row);
        }
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                // Words to the left, numbers to the right.
                if column == 0 || column == HEAD.len() - 1 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(text, "{}", line.trim_end()).expect("a string takes it");
        }
        text
    }
}

fn cells(date: &str, counts: &Counts, cost: &Amount) -> [String; HEAD.len()] {
    [
        date.to_owned(),
        counts.requests.to_string(),
        counts.errors.to_string(),
        counts.rows.to_string(),
        counts.bytes.to_string(),
        counts.database_micros.to_string(),
        cost.cost.clone(),
        cost.currency.clone(),
    ]
}

/// As the database and the head of a table call it.
fn unit_name(unit: UsageUnit) -> String {
    unit.as_str_name().trim_start_matches("USAGE_UNIT_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use onekeel_api::quota::UsageDay;

    use super::*;

    fn report(currency: &str) -> Report {
        let usage = Usage {
            requests: 12,
            errors: 1,
            rows: 3,
            bytes: 4567,
            database_micros: 89,
        };
        let cost = Money {
            currency_code: currency.to_owned(),
            units: 7,
            nanos: 12_000,
        };
        let day = UsageDay {
            date: "2026-01-31".to_owned(),
            usage: Some(usage),
            cost: Some(cost.clone()),
        };
        let report = UsageReport {
            days: vec![day],
            total: Some(usage),
            costs: vec![cost],
            price_lists: Vec::new(),
        };
        Report::new("t", report)
    }

    #[test]
    fn csv_quotes_what_would_break_its_lines() {
        for currency in ["USD", "a,b", "say \"x\"", "two\nlines"] {
            let text = report(currency).csv().expect("csv");
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let head: Vec<_> = reader.headers().expect("a head").iter().map(str::to_owned).collect();
            assert_eq!(head, HEAD);
            let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
            let row: Vec<&str> = rows[0].iter().collect();
            assert_eq!(rows.len(), 1, "{text}");
            assert_eq!(row, ["2026-01-31", "12", "1", "3", "4567", "89", "7.000012", currency]);
        }
    }

    #[test]
    fn a_table_has_a_head_its_days_and_a_total_in_columns() {
        let text = report("USD").table();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "date        requests  errors  rows  bytes  database_micros      cost  currency",
                "2026-01-31        12       1     3   4567               89  7.000012  USD",
                "total             12       1     3   4567               89  7.000012  USD",
            ]
        );
    }
}
