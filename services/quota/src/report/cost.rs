//! What use costs: integers only, and every rounding in the tenant's favour.
use std::collections::BTreeMap;

use chrono::NaiveDate;
use onekeel_api::Fault;
use onekeel_api::quota::{Money, Price, PriceList, Usage, UsageUnit};

use super::period;

const MICROS_A_UNIT: i128 = 1_000_000;
const NANOS_A_MICRO: i128 = 1_000;

/// Prices in force from `start` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub start: NaiveDate,
    pub currency: String,
    pub prices: Vec<UnitPrice>,
}

/// `micros` millionths of the currency for each `units`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnitPrice {
    pub unit: UsageUnit,
    pub micros: i64,
    pub units: i64,
}

impl List {
    /// What one day's use costs, in millionths of the currency: each unit's part is rounded down on its own.
    pub fn cost(&self, usage: &Usage) -> i128 {
        let part = |price: &UnitPrice| {
            let product = i128::from(charged(usage, price.unit)) * i128::from(price.micros);
            product / i128::from(price.units.max(1))
        };
        self.prices.iter().map(part).sum()
    }

    pub fn message(self) -> PriceList {
        let price = |price: UnitPrice| Price {
            unit: price.unit.into(),
            micros: price.micros,
            units: price.units,
        };
        PriceList {
            start_date: period::write(self.start),
            currency_code: self.currency,
            prices: self.prices.into_iter().map(price).collect(),
        }
    }
}

/// How much of a unit is charged: nobody pays for a request that failed.
fn charged(usage: &Usage, unit: UsageUnit) -> i64 {
    match unit {
        UsageUnit::Requests => usage.requests.saturating_sub(usage.errors).max(0),
        UsageUnit::Rows => usage.rows,
        UsageUnit::Bytes => usage.bytes,
        UsageUnit::DatabaseMicros => usage.database_micros,
        UsageUnit::Unspecified => 0,
    }
}

/// The list that is in force on a day; `lists` are in order.
pub(super) fn in_force(lists: &[List], day: NaiveDate) -> Option<&List> {
    lists.iter().rev().find(|list| list.start <= day)
}

/// Sums by currency.
#[derive(Default)]
pub(super) struct Sums(BTreeMap<String, i128>);

impl Sums {
    pub fn add(&mut self, currency: &str, micros: i128) {
        *self.0.entry(currency.to_owned()).or_default() += micros;
    }

    pub fn messages(self) -> Result<Vec<Money>, Fault> {
        self.0
            .iter()
            .map(|(currency, micros)| money(currency, *micros))
            .collect()
    }
}

/// An amount as the contract sends it.
pub(super) fn money(currency: &str, micros: i128) -> Result<Money, Fault> {
    let units = i64::try_from(micros.div_euclid(MICROS_A_UNIT));
    let nanos = i32::try_from(micros.rem_euclid(MICROS_A_UNIT) * NANOS_A_MICRO);
    let (Ok(units), Ok(nanos)) = (units, nanos) else {
        return Err(Fault::internal("a cost is larger than money can say"));
    };
    Ok(Money {
        currency_code: currency.to_owned(),
        units,
        nanos,
    })
}

/// Adds one day to a total.
pub(super) fn add(total: &mut Usage, day: &Usage) {
    total.requests = total.requests.saturating_add(day.requests);
    total.errors = total.errors.saturating_add(day.errors);
    total.rows = total.rows.saturating_add(day.rows);
    total.bytes = total.bytes.saturating_add(day.bytes);
    total.database_micros = total.database_micros.saturating_add(day.database_micros);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(start: &str, prices: &[(UsageUnit, i64, i64)]) -> List {
        let price = |(unit, micros, units): &(UsageUnit, i64, i64)| UnitPrice {
            unit: *unit,
            micros: *micros,
            units: *units,
        };
        List {
            start: start.parse().expect("a day"),
            currency: "USD".to_owned(),
            prices: prices.iter().map(price).collect(),
        }
    }

    fn usage(requests: i64, errors: i64, rows: i64, bytes: i64, database_micros: i64) -> Usage {
        Usage {
            requests,
            errors,
            rows,
            bytes,
            database_micros,
        }
    }

    #[test]
    fn each_units_part_is_rounded_down_on_its_own() {
        use UsageUnit::{Bytes, DatabaseMicros, Requests, Rows};
        for (price, used, cost) in [
            ((Rows, 100_000, 1000), usage(0, 0, 7, 0, 0), 700),
            ((Rows, 1, 3), usage(0, 0, 2, 0, 0), 0),
            ((Rows, 1, 3), usage(0, 0, 3, 0, 0), 1),
            ((Rows, 2, 3), usage(0, 0, 4, 0, 0), 2),
            ((Requests, 2_000_000, 1_000_000), usage(10, 4, 0, 0, 0), 12),
            ((Requests, 5, 1), usage(3, 4, 0, 0, 0), 0),
            ((Bytes, 90_000, 1_000_000_000), usage(0, 0, 0, 11_111, 0), 0),
            ((Bytes, 90_000, 1_000_000_000), usage(0, 0, 0, 11_112, 0), 1),
            ((DatabaseMicros, 100, 1_000_000), usage(0, 0, 0, 0, 25_000), 2),
            (
                (Rows, i64::MAX, 1),
                usage(0, 0, i64::MAX, 0, 0),
                i128::from(i64::MAX).pow(2),
            ),
        ] {
            assert_eq!(list("1970-01-01", &[price]).cost(&used), cost, "{price:?} of {used:?}");
        }
        // Two halves of a millionth are nothing, not one.
        let two = list("1970-01-01", &[(Rows, 1, 2), (Bytes, 1, 2)]);
        assert_eq!(two.cost(&usage(0, 0, 1, 1, 0)), 0);
        assert_eq!(
            list("1970-01-01", &[]).cost(&usage(9, 0, 9, 9, 9)),
            0,
            "without a price it is free"
        );
    }

    #[test]
    fn a_day_has_the_prices_of_the_newest_list_that_has_begun() {
        let lists = ["2026-01-01", "2026-03-01"].map(|start| list(start, &[]));
        for (day, start) in [
            ("2025-12-31", None),
            ("2026-01-01", Some("2026-01-01")),
            ("2026-02-28", Some("2026-01-01")),
            ("2026-03-01", Some("2026-03-01")),
            ("2030-01-01", Some("2026-03-01")),
        ] {
            let found = in_force(&lists, day.parse().expect("a day"));
            assert_eq!(found.map(|list| period::write(list.start)).as_deref(), start, "{day}");
        }
    }

    #[test]
    fn money_is_whole_units_and_billionths() {
        for (micros, units, nanos) in [
            (0, 0, 0),
            (1, 0, 1_000),
            (999_999, 0, 999_999_000),
            (1_000_000, 1, 0),
            (12_345_678, 12, 345_678_000),
        ] {
            let money = money("EUR", micros).expect("small");
            assert_eq!((money.units, money.nanos), (units, nanos), "{micros}");
        }
        assert!(money("EUR", i128::MAX).is_err(), "never another amount");
    }

    #[test]
    fn sums_keep_currencies_apart() {
        let mut sums = Sums::default();
        for (currency, micros) in [("USD", 600_000), ("EUR", 5), ("USD", 400_001)] {
            sums.add(currency, micros);
        }
        let sums = sums.messages().expect("small");
        let plain: Vec<_> = sums
            .iter()
            .map(|money| (money.currency_code.as_str(), money.units, money.nanos))
            .collect();
        assert_eq!(plain, [("EUR", 0, 5_000), ("USD", 1, 1_000)]);
    }
}
