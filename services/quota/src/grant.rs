//! Grants leases: one transaction for all wishes of a tenant that wait at this moment, under the lock of its limits.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use onekeel_api::quota::Resource;
use onekeel_api::{ErrorReason, Fault};
use onekeel_store::{DbResult, TenantTx};
use uuid::Uuid;

use crate::caps;
use crate::lease::Reservation;
use crate::wish::{Item, Wish};

/// Nobody gets more than this share of what remains, so that leases shrink to single units near the limit.
pub(crate) const SHARE: i64 = 4;
/// How long a lease may live where its units may pass a threshold, which is told when a lease ends.
pub(crate) const BRIEF: Duration = Duration::from_secs(60);

/// What one try came to.
#[derive(Debug)]
pub(crate) enum Tried {
    /// Every item of the wish, in the wish's order.
    Granted(Vec<Reservation>),
    /// Nothing: there is no room for this item.
    Short(Item),
}

/// Grants each wish or tells what it lacks, in their order. A wish gets all of its items or none.
///
/// The commit is not waited for to reach the disk: a lease that a crash takes back takes the charges on it down with
/// it, and whatever is charged later stands behind the lease in the same log.
///
/// # Errors
/// `ALREADY_EXISTS` when the request id of one of them has living leases; nothing is granted to any of them then.
pub(crate) async fn grant(tx: &mut TenantTx, wishes: &[Arc<Wish>]) -> Result<Vec<Result<Tried, Fault>>, Fault> {
    let mut resources: Vec<String> = Vec::new();
    for item in wishes.iter().flat_map(|wish| &wish.items) {
        if !resources.iter().any(|known| known == item.resource.name()) {
            resources.push(item.resource.name().to_owned());
        }
    }
    let mut rows = lock(tx, &resources).await?;
    if rows
        .iter()
        .any(|row| row.cap_until.is_some_and(|until| until <= row.now))
    {
        caps::lock(tx).await?;
        caps::recompute(tx).await?;
        rows = read(tx, &resources).await?;
    }
    let tried: Vec<_> = wishes.iter().map(|wish| decide(wish, &mut rows)).collect();
    let granted = tried.iter().zip(wishes).filter_map(|(tried, wish)| match tried {
        Ok(Tried::Granted(leases)) => Some(leases.iter().map(|lease| (lease, wish.request_id))),
        _ => None,
    });
    let granted: Vec<_> = granted.flatten().collect();
    if let (Some(row), false) = (rows.first(), granted.is_empty()) {
        write(tx, &granted).await?;
        shorten(tx, &resources, row.now + BRIEF).await?;
    }
    let mut answers = Vec::with_capacity(tried.len());
    for (tried, wish) in tried.into_iter().zip(wishes) {
        answers.push(match tried {
            Ok(Tried::Short(item)) => repeated(tx, wish)
                .await
                .map(|known| known.unwrap_or(Tried::Short(item))),
            tried => tried,
        });
    }
    Ok(answers)
}

/// The leases of one wish, taken off the room that `rows` have left.
fn decide(wish: &Wish, rows: &mut [Locked]) -> Result<Tried, Fault> {
    let mut leases = Vec::with_capacity(wish.items.len());
    for item in &wish.items {
        let Some(row) = rows.iter().find(|row| row.resource == item.resource.name()) else {
            return Err(Fault::unavailable("the tenant has no limits yet; try again"));
        };
        let room = row.cap - row.used - row.reserved;
        if room < item.min {
            return Ok(Tried::Short(*item));
        }
        let ends = row.now + wish.ttl.min(BRIEF);
        leases.push(Reservation {
            id: Uuid::now_v7(),
            resource: item.resource,
            amount: item.max.min(item.min.max(room / SHARE)),
            // No lease outlives the limit that it was granted under.
            expires_at: row.cap_until.map_or(ends, |until| until.min(ends)),
            now: row.now,
        });
    }
    for lease in &leases {
        if let Some(row) = rows.iter_mut().find(|row| row.resource == lease.resource.name()) {
            row.reserved += lease.amount;
        }
    }
    Ok(Tried::Granted(leases))
}

async fn write(tx: &mut TenantTx, leases: &[(&Reservation, Option<Uuid>)]) -> Result<(), Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let mut reserved = BTreeMap::<&str, i64>::new();
    for (lease, _) in leases {
        *reserved.entry(lease.resource.name()).or_default() += lease.amount;
    }
    let (sums_of, sums): (Vec<String>, Vec<i64>) = reserved
        .into_iter()
        .map(|(resource, amount)| (resource.to_owned(), amount))
        .unzip();
    let column = |read: fn(&Reservation) -> DateTime<Utc>| leases.iter().map(|(lease, _)| read(lease)).collect();
    let (created, expires): (Vec<_>, Vec<_>) = (column(|lease| lease.now), column(|lease| lease.expires_at));
    let ids: Vec<Uuid> = leases.iter().map(|(lease, _)| lease.id).collect();
    let resources: Vec<String> = leases
        .iter()
        .map(|(lease, _)| lease.resource.name().to_owned())
        .collect();
    let amounts: Vec<i64> = leases.iter().map(|(lease, _)| lease.amount).collect();
    let requests: Vec<Option<Uuid>> = leases.iter().map(|(_, request)| *request).collect();
    let written = sqlx::query!(
        "with sums as (
            update quota.usage u set reserved = u.reserved + g.amount, updated_by = $10
            from unnest($8::text[], $9::bigint[]) as g(resource, amount)
            where u.client_id = $1 and u.resource = g.resource
        )
        insert into quota.reservations (client_id, id, resource, amount, created_at, expires_at, request_id)
        select c.client_id, l.* from tenant.clients c,
            unnest($2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::uuid[]) as l
        where c.client_id = $1",
        client,
        &ids,
        &resources,
        &amounts,
        &created,
        &expires,
        &requests as &[Option<Uuid>],
        &sums_of,
        &sums,
        name
    )
    .execute(tx.conn())
    .await
    .on_constraint(constraint)?;
    if written.rows_affected() != leases.len() as u64 {
        return Err(Fault::unavailable("the tenant is not there; try again"));
    }
    Ok(())
}

/// What a wish without room got the first time: it is its answer still, and nobody shall settle it to make room for itself.
async fn repeated(tx: &mut TenantTx, wish: &Wish) -> Result<Option<Tried>, Fault> {
    if wish.request_id.is_none() {
        return Ok(None);
    }
    Ok(find(tx, wish).await?.map(Tried::Granted))
}

/// Leases that were granted while the limits were far may hide what these would tell.
async fn shorten(tx: &mut TenantTx, resources: &[String], until: DateTime<Utc>) -> Result<(), Fault> {
    let client = tx.client_id();
    let shortened = sqlx::query!("select quota.shorten_leases($1, $2, $3)", client, resources, until);
    shortened.fetch_one(tx.conn()).await.db()?;
    Ok(())
}

/// What a broken constraint of `quota.reservations` tells the caller.
pub(crate) fn constraint(name: &str) -> Option<Fault> {
    name.starts_with("reservations_request_key")
        .then(|| Fault::already_exists("reservation"))
}

struct Locked {
    resource: String,
    cap: i64,
    cap_until: Option<DateTime<Utc>>,
    used: i64,
    reserved: i64,
    now: DateTime<Utc>,
}

/// Locks the limits, and reads what they are once the lock is held: a row that is waited for is read anew, and the clock is
/// looked at outside of the lock.
async fn lock(tx: &mut TenantTx, resources: &[String]) -> Result<Vec<Locked>, Fault> {
    let client = tx.client_id();
    let rows = sqlx::query!(
        r#"select resource, cap, cap_until, used, reserved, clock_timestamp() as "now!",
            set_config('synchronous_commit', 'off', true)
        from (
            select resource, cap, cap_until, used, reserved from quota.usage
            where client_id = $1 and resource = any($2) order by resource for no key update
        ) as locked"#,
        client,
        resources
    );
    let rows = rows.fetch_all(tx.conn()).await.db()?;
    let locked = rows.into_iter().map(|row| Locked {
        resource: row.resource,
        cap: row.cap,
        cap_until: row.cap_until,
        used: row.used,
        reserved: row.reserved,
        now: row.now,
    });
    Ok(locked.collect())
}

async fn read(tx: &mut TenantTx, resources: &[String]) -> Result<Vec<Locked>, Fault> {
    let client = tx.client_id();
    let rows = sqlx::query_as!(
        Locked,
        r#"select resource, cap, cap_until, used, reserved, clock_timestamp() as "now!"
        from quota.usage where client_id = $1 and resource = any($2)"#,
        client,
        resources
    );
    rows.fetch_all(tx.conn()).await.db()
}

/// The leases that the wish got the first time, when the answer was lost on its way; none when none of these resources
/// has one that lives.
///
/// # Errors
/// `CONFLICT` when some of them have ended, or the request id was used for another wish.
pub(crate) async fn find(tx: &mut TenantTx, wish: &Wish) -> Result<Option<Vec<Reservation>>, Fault> {
    let client = tx.client_id();
    let rows = sqlx::query!(
        r#"select id, resource, amount, expires_at, clock_timestamp() as "now!"
        from quota.reservations where client_id = $1 and request_id = $2 order by resource"#,
        client,
        wish.request_id
    );
    let rows = rows.fetch_all(tx.conn()).await.db()?;
    let leases = rows.into_iter().map(|row| Reservation {
        id: row.id,
        resource: Resource::from_name(&row.resource).unwrap_or_default(),
        amount: row.amount,
        expires_at: row.expires_at,
        now: row.now,
    });
    let leases: Vec<_> = leases.collect();
    let wanted = || wish.items.iter().map(|item| item.resource);
    if !leases
        .iter()
        .any(|lease| wanted().any(|resource| resource == lease.resource))
    {
        return Ok(None);
    }
    if leases.iter().map(|lease| lease.resource).eq(wanted()) {
        Ok(Some(leases))
    } else {
        Err(used_before())
    }
}

/// The answer to a request id whose leases are not those that are asked for, or not any more.
pub(crate) fn used_before() -> Fault {
    Fault::new(
        ErrorReason::Conflict,
        "this request_id was used for another wish, or its leases have ended",
    )
}
