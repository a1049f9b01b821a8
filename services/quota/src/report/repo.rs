//! The rows of a report.
use chrono::NaiveDate;
use onekeel_api::Fault;
use onekeel_api::quota::{Usage, UsageUnit};
use onekeel_store::{DbResult, Single, TenantTx};

use super::cost::{List, UnitPrice};
use super::period::Period;

/// What the contract puts before a unit's name.
const UNIT: &str = "USAGE_UNIT_";

/// What was used by day, all services together; `NOT_FOUND` for a tenant that never was.
pub(super) async fn days(tx: &mut TenantTx, period: Period) -> Result<Vec<(NaiveDate, Usage)>, Fault> {
    let client = tx.client_id();
    let there = sqlx::query_scalar!(
        r#"select exists(select from tenant.clients where client_id = $1) as "there!""#,
        client
    );
    if !there.fetch_one(tx.conn()).await.db()? {
        return Err(Fault::not_found());
    }
    let days = sqlx::query!(
        r#"select day, sum(requests)::bigint as "requests!", sum(errors)::bigint as "errors!",
            sum(rows)::bigint as "rows!", sum(bytes)::bigint as "bytes!",
            sum(database_micros)::bigint as "database_micros!"
        from quota.usage_days where client_id = $1 and day between $2 and $3
        group by day order by day"#,
        client,
        period.start,
        period.end
    );
    let days = days.fetch_all(tx.conn()).await.db()?.into_iter().map(|row| {
        let usage = Usage {
            requests: row.requests,
            errors: row.errors,
            rows: row.rows,
            bytes: row.bytes,
            database_micros: row.database_micros,
        };
        (row.day, usage)
    });
    Ok(days.collect())
}

/// The price lists of the period, in order: the one that is in force on its first day, and those that begin within it.
pub(super) async fn lists(tx: &mut TenantTx, period: Period) -> Result<Vec<List>, Fault> {
    let rows = sqlx::query_as!(
        PriceRow,
        r#"select l.valid_from, l.currency, p.unit as "unit?", p.micros_per as "micros_per?", p.units as "units?"
        from quota.price_lists l left join quota.prices p on p.valid_from = l.valid_from
        where l.valid_from <= $2 and l.valid_from >= coalesce(
            (select max(valid_from) from quota.price_lists where valid_from <= $1), $1)
        order by l.valid_from, p.unit"#,
        period.start,
        period.end
    );
    Ok(gathered(rows.fetch_all(tx.conn()).await.db()?))
}

/// The latest lists, the latest first.
pub(super) async fn latest_lists(single: &mut Single) -> Result<Vec<List>, sqlx::Error> {
    let rows = sqlx::query_as!(
        PriceRow,
        r#"select l.valid_from, l.currency, p.unit as "unit?", p.micros_per as "micros_per?", p.units as "units?"
        from (select valid_from, currency from quota.price_lists order by valid_from desc limit 100) l
        left join quota.prices p on p.valid_from = l.valid_from
        order by l.valid_from desc, p.unit"#
    );
    Ok(gathered(rows.fetch_all(single.conn()).await?))
}

/// One price of a list, or a list without any.
struct PriceRow {
    valid_from: NaiveDate,
    currency: String,
    unit: Option<String>,
    micros_per: Option<i64>,
    units: Option<i64>,
}

/// A unit's name in the database.
pub(super) fn unit_name(unit: UsageUnit) -> String {
    unit.as_str_name().trim_start_matches(UNIT).to_lowercase()
}

fn gathered(rows: Vec<PriceRow>) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for row in rows {
        if lists.last().is_none_or(|last| last.start != row.valid_from) {
            lists.push(List {
                start: row.valid_from,
                currency: row.currency,
                prices: Vec::new(),
            });
        }
        let (Some(list), Some(unit)) = (lists.last_mut(), row.unit) else {
            continue;
        };
        let name = format!("{UNIT}{}", unit.to_uppercase());
        list.prices.push(UnitPrice {
            unit: UsageUnit::from_str_name(&name).unwrap_or_default(),
            micros: row.micros_per.unwrap_or_default(),
            units: row.units.unwrap_or(1),
        });
    }
    lists
}
