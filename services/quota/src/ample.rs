//! Leases far from the limits: every wish of a batch is granted whole, in one statement and one round trip.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use onekeel_api::Fault;
use onekeel_store::{Once, Store};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::grant::{BRIEF, SHARE, Tried, constraint};
use crate::lease::Reservation;
use crate::wish::Wish;

/// Grants all wishes what they ask for at most, which is what [`grant`](crate::grant::grant) would give them where it is no
/// more than the usual share of what is left after all of them. Nothing where it may be more: then nobody gets anything.
/// Leases that cannot hide that a threshold is passed live for as long as was asked for, others for [`BRIEF`] at most.
///
/// # Errors
/// `ALREADY_EXISTS` when the request id of one of them has living leases; nothing is granted to any of them then. Marked
/// [`Fault::is_commit_unknown`] when the connection was lost.
pub(crate) async fn grant_amply(
    store: &Store,
    tenant: &Tenant,
    wishes: &[Arc<Wish>],
) -> Result<Option<Vec<Tried>>, Fault> {
    let columns = Columns::of(wishes);
    let reserve = async |once: &mut Once| columns.write(once).await;
    let granted = store.at_most_once(tenant, "reserve_amply", constraint, reserve).await?;
    Ok(granted.map(|granted| columns.leases(wishes, &granted)))
}

/// What the statement is told.
#[derive(Default)]
struct Columns {
    limits: Vec<String>,
    totals: Vec<i64>,
    largest: Vec<i64>,
    ids: Vec<Uuid>,
    resources: Vec<String>,
    amounts: Vec<i64>,
    lives: Vec<i64>,
    requests: Vec<Option<Uuid>>,
}

/// When the limits were locked, and when each ends.
struct Granted {
    at: DateTime<Utc>,
    limits_end: Vec<Option<DateTime<Utc>>>,
}

impl Columns {
    fn of(wishes: &[Arc<Wish>]) -> Self {
        let mut columns = Self::default();
        let mut limits = BTreeMap::<&str, (i64, i64)>::new();
        for (wish, item) in wishes
            .iter()
            .flat_map(|wish| wish.items.iter().map(move |item| (wish, item)))
        {
            let name = item.resource.name();
            let (total, largest) = limits.entry(name).or_default();
            (*total, *largest) = (*total + item.max, item.max.max(*largest));
            columns.ids.push(Uuid::now_v7());
            columns.resources.push(name.to_owned());
            columns.amounts.push(item.max);
            columns.lives.push(micros(wish.ttl));
            columns.requests.push(wish.request_id);
        }
        for (name, (total, largest)) in limits {
            columns.limits.push(name.to_owned());
            columns.totals.push(total);
            columns.largest.push(largest);
        }
        columns
    }

    async fn write(&self, once: &mut Once) -> Result<Option<Granted>, sqlx::Error> {
        let (client, name) = (once.client_id(), once.name());
        let granted = sqlx::query!(
            r#"select granted_at as "at!", limits_end as "limits_end!: Vec<Option<DateTime<Utc>>>"
            from quota.reserve_amply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
            client,
            SHARE,
            micros(BRIEF),
            &self.limits,
            &self.totals,
            &self.largest,
            &self.ids,
            &self.resources,
            &self.amounts,
            &self.lives,
            &self.requests as &[Option<Uuid>],
            name
        );
        let granted = granted.fetch_optional(once.conn()).await?;
        Ok(granted.map(|granted| Granted {
            at: granted.at,
            limits_end: granted.limits_end,
        }))
    }

    /// The leases of each wish, as they were written.
    fn leases(&self, wishes: &[Arc<Wish>], granted: &Granted) -> Vec<Tried> {
        let limits = self.limits.iter().zip(&granted.limits_end);
        let ends: BTreeMap<&str, _> = limits.map(|(limit, end)| (limit.as_str(), *end)).collect();
        let mut ids = self.ids.iter();
        let leases = wishes.iter().map(|wish| {
            let ends_at = granted.at + TimeDelta::microseconds(micros(wish.ttl));
            let items = wish.items.iter().zip(ids.by_ref());
            let leases = items.map(|(item, id)| Reservation {
                id: *id,
                resource: item.resource,
                amount: item.max,
                expires_at: ends[item.resource.name()].map_or(ends_at, |end| end.min(ends_at)),
                now: granted.at,
            });
            Tried::Granted(leases.collect())
        });
        leases.collect()
    }
}

/// Of a lease's life: ten minutes at most.
fn micros(life: Duration) -> i64 {
    i64::try_from(life.as_micros()).unwrap_or(i64::MAX)
}
