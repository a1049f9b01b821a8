//! New prices, for days to come: what was published never changes, and no report of the past does.
use chrono::{NaiveDate, Utc};
use onekeel_api::quota::{PriceList, PublishPriceListRequest, UsageUnit};
use onekeel_api::{Fault, Violations};
use onekeel_store::{DbResult, Event, TenantTx};

use super::cost::{List, UnitPrice};
use super::{period, repo};

const MOST_MICROS: i64 = 1_000_000_000_000;
const MOST_UNITS: i64 = 1_000_000_000_000_000;

/// A checked list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewList(List);

impl TryFrom<PublishPriceListRequest> for NewList {
    type Error = Fault;

    fn try_from(request: PublishPriceListRequest) -> Result<Self, Fault> {
        let list = request
            .price_list
            .ok_or_else(|| Fault::invalid("price_list", "is required"))?;
        let mut wrong = Violations::new();
        let start = period::date(&mut wrong, "price_list.start_date", &list.start_date);
        wrong.check(
            start.is_none_or(|start| start > Utc::now().date_naive()),
            "price_list.start_date",
            "must be tomorrow (UTC) or later",
        );
        let code = &list.currency_code;
        wrong.check(
            code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()),
            "price_list.currency_code",
            "must be three capital letters of ISO 4217, for example USD",
        );
        let mut prices: Vec<UnitPrice> = Vec::new();
        for (place, price) in list.prices.iter().enumerate() {
            let field = |name: &str| format!("price_list.prices[{place}].{name}");
            let unit = price.unit();
            let known = prices.iter().any(|other| other.unit == unit);
            wrong.check(
                unit != UsageUnit::Unspecified && !known,
                &field("unit"),
                "must be a unit of the contract, each once",
            );
            wrong.check(
                (0..=MOST_MICROS).contains(&price.micros),
                &field("micros"),
                "must be 0 to 1,000,000,000,000",
            );
            wrong.check(
                (1..=MOST_UNITS).contains(&price.units),
                &field("units"),
                "must be 1 to 1,000,000,000,000,000",
            );
            if known {
                // No list has more prices than there are units, so no error names more of them.
                break;
            }
            prices.push(UnitPrice {
                unit,
                micros: price.micros,
                units: price.units,
            });
        }
        wrong.into_result()?;
        prices.sort_by_key(|price| price.unit.as_str_name());
        let start = start.ok_or_else(|| Fault::internal("a date is neither good nor bad"))?;
        Ok(Self(List {
            start,
            currency: list.currency_code,
            prices,
        }))
    }
}

impl NewList {
    /// Writes the list where none begins on its day. A repetition finds what the first try wrote.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` when another list begins on that day.
    pub async fn write(self, tx: &mut TenantTx) -> Result<PriceList, Fault> {
        let Self(list) = self;
        let units: Vec<String> = list.prices.iter().map(|price| repo::unit_name(price.unit)).collect();
        let micros: Vec<i64> = list.prices.iter().map(|price| price.micros).collect();
        let per: Vec<i64> = list.prices.iter().map(|price| price.units).collect();
        let written = sqlx::query!(
            "insert into quota.price_lists (valid_from, currency) values ($1, $2) on conflict do nothing",
            list.start,
            list.currency
        );
        if written.execute(tx.conn()).await.db()?.rows_affected() == 0 {
            return match find(tx, list.start).await? {
                Some(known) if known == list => Ok(known.message()),
                _ => Err(Fault::already_exists("price list")),
            };
        }
        sqlx::query!(
            "insert into quota.prices (valid_from, unit, micros_per, units)
            select $1, p.* from unnest($2::text[], $3::bigint[], $4::bigint[]) as p",
            list.start,
            &units,
            &micros,
            &per
        )
        .execute(tx.conn())
        .await
        .db()?;
        let message = list.message();
        tx.audit(Event::of("price list", &message.start_date).after(&message));
        Ok(message)
    }
}

async fn find(tx: &mut TenantTx, start: NaiveDate) -> Result<Option<List>, Fault> {
    let day = period::Period { start, end: start };
    Ok(repo::lists(tx, day).await?.into_iter().find(|list| list.start == start))
}

#[cfg(test)]
mod tests {
    use onekeel_api::quota::Price;

    use super::*;

    #[test]
    fn every_rule_of_a_list_is_named_at_once() {
        let price = |unit: UsageUnit, micros: i64, units: i64| Price {
            unit: unit.into(),
            micros,
            units,
        };
        let list = PriceList {
            start_date: Utc::now().date_naive().to_string(),
            currency_code: "usd".to_owned(),
            prices: vec![
                price(UsageUnit::Rows, -1, 0),
                price(UsageUnit::Unspecified, 0, 1),
                price(UsageUnit::Rows, 0, 1),
            ],
        };
        let request = PublishPriceListRequest { price_list: Some(list) };
        let fault = NewList::try_from(request).expect_err("six rules are broken");
        let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "price_list.start_date",
                "price_list.currency_code",
                "price_list.prices[0].micros",
                "price_list.prices[0].units",
                "price_list.prices[1].unit",
                "price_list.prices[2].unit"
            ]
        );
    }
}
