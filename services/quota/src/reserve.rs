//! Leases: wished for, granted all or none, and refused only when rows really hold every unit.
use std::time::Duration;

use onekeel_api::quota::{Lease, ReserveRequest, Resource};
use onekeel_api::{Deadline, ErrorReason, Fault, Violations};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::caps;
use crate::lease::Reservation;
use crate::room::{Level, Rooms};

const MOST_UNITS: i64 = 100_000;
const MOST_BYTES: i64 = 1 << 30;
const DEFAULT_TTL: Duration = Duration::from_secs(30);
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
/// Nobody gets more than this share of what remains, so that leases shrink to single units near the limit.
const SHARE: i64 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Time that an answer needs to reach a caller whose deadline is near.
const ANSWER: Duration = Duration::from_millis(20);

/// A checked wish, in order of resource: the one order of locks.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    items: Vec<Item>,
    ttl: Duration,
    request_id: Option<Uuid>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    /// Place in the caller's list.
    place: usize,
    resource: Resource,
    min: i64,
    max: i64,
}

impl TryFrom<ReserveRequest> for Wish {
    type Error = Fault;

    fn try_from(request: ReserveRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        wrong.check(
            (1..=Resource::ALL.len()).contains(&request.items.len()),
            "items",
            "must be 1 to 4 items",
        );
        let mut items = Vec::new();
        for (place, item) in request.items.iter().enumerate() {
            let field = |name: &str| format!("items[{place}].{name}");
            let resource = item.resource();
            wrong.check(
                resource != Resource::Unspecified,
                &field("resource"),
                "must be a resource of the contract",
            );
            wrong.check(
                !items.iter().any(|other: &Item| other.resource == resource),
                &field("resource"),
                "must stand in one item only",
            );
            let most = if resource == Resource::StorageBytes {
                MOST_BYTES
            } else {
                MOST_UNITS
            };
            wrong.check(
                (1..=most).contains(&item.min),
                &field("min"),
                format!("must be 1 to {most}"),
            );
            wrong.check(
                (item.min..=most).contains(&item.max),
                &field("max"),
                format!("must be `min` to {most}"),
            );
            items.push(Item {
                place,
                resource,
                min: item.min,
                max: item.max,
            });
        }
        items.sort_by_key(|item| item.resource.name());
        let ttl = request
            .ttl
            .map_or(Some(DEFAULT_TTL), |ttl| Duration::try_from(ttl).ok());
        wrong.check(
            ttl.is_some_and(|ttl| TTL.contains(&ttl)),
            "ttl",
            "must be 1 s to 10 min",
        );
        let request_id = match request.request_id.as_str() {
            "" => None,
            text => {
                let parsed = Uuid::try_parse(text).ok();
                wrong.check(parsed.is_some(), "request_id", "must be a UUID");
                parsed
            }
        };
        wrong.into_result()?;
        Ok(Self {
            items,
            ttl: ttl.unwrap_or(DEFAULT_TTL),
            request_id,
        })
    }
}

/// What one try came to.
enum Tried {
    Granted(Vec<Reservation>),
    Short(Item),
}

/// Grants the wish, or refuses after every living lease of the short resource was settled.
///
/// # Errors
/// `QUOTA_EXCEEDED` when rows hold every unit; `UNAVAILABLE` when leases could not be settled before the deadline.
pub(crate) async fn reserve(store: &Store, rooms: &Rooms, tenant: &Tenant, wish: &Wish) -> Result<Vec<Lease>, Fault> {
    let deadline = Deadline::after(
        Deadline::remaining_or(LONGEST_WAIT)
            .min(LONGEST_WAIT)
            .saturating_sub(ANSWER),
    );
    loop {
        let short = match attempt(store, tenant, wish).await? {
            Tried::Granted(leases) => return Ok(in_callers_order(wish, leases)),
            Tried::Short(item) => item,
        };
        let level = rooms.make(tenant, short.resource).await?;
        if level.is_settled() && level.cap - level.used < short.min {
            return Err(exceeded(short.resource, &level));
        }
        if deadline.remaining().is_zero() {
            return Err(Fault::unavailable("leases of this limit are still in use; try again"));
        }
    }
}

async fn attempt(store: &Store, tenant: &Tenant, wish: &Wish) -> Result<Tried, Fault> {
    let grant = async |tx: &mut TenantTx| grant(tx, wish).await;
    match store.run(tenant, "reserve", grant).await {
        // The first try's answer was lost on its way: its leases live, and they are the answer.
        Err(fault) if fault.reason() == ErrorReason::AlreadyExists => {
            let found = async |tx: &mut TenantTx| find(tx, wish).await;
            let leases = store.run(tenant, "find_reservation", found).await?;
            Ok(Tried::Granted(leases))
        }
        other => other,
    }
}

async fn grant(tx: &mut TenantTx, wish: &Wish) -> Result<Tried, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let resources: Vec<String> = wish.items.iter().map(|item| item.resource.name().to_owned()).collect();
    sqlx::query!(
        "select resource from quota.usage where client_id = $1 and resource = any($2) order by resource for no key update",
        client,
        &resources
    )
    .fetch_all(tx.conn())
    .await
    .db()?;
    // A new statement, so that it sees what the lock waited for.
    let mut rows = read_locked(tx, &resources).await?;
    if rows
        .iter()
        .any(|row| row.cap_until.is_some_and(|until| until <= row.now))
    {
        caps::lock(tx).await?;
        caps::recompute(tx).await?;
        rows = read_locked(tx, &resources).await?;
    }
    let mut leases = Vec::with_capacity(wish.items.len());
    for item in &wish.items {
        let Some(row) = rows.iter().find(|row| row.resource == item.resource.name()) else {
            return Err(Fault::unavailable("the tenant has no limits yet; try again"));
        };
        let room = row.cap - row.used - row.reserved;
        if room < item.min {
            return Ok(Tried::Short(*item));
        }
        let ends = row.now + wish.ttl;
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
        sqlx::query!(
            "update quota.usage set reserved = reserved + $3, updated_by = $4 where client_id = $1 and resource = $2",
            client,
            lease.resource.name(),
            lease.amount,
            name
        )
        .execute(tx.conn())
        .await
        .db()?;
        sqlx::query!(
            "insert into quota.reservations (client_id, id, resource, amount, created_at, expires_at, request_id)
            values ($1, $2, $3, $4, $5, $6, $7)",
            client,
            lease.id,
            lease.resource.name(),
            lease.amount,
            lease.now,
            lease.expires_at,
            wish.request_id
        )
        .execute(tx.conn())
        .await
        .on_constraint(|constraint| {
            constraint
                .starts_with("reservations_request_key")
                .then(|| Fault::already_exists("reservation"))
        })?;
    }
    Ok(Tried::Granted(leases))
}

struct Locked {
    resource: String,
    cap: i64,
    cap_until: Option<chrono::DateTime<chrono::Utc>>,
    used: i64,
    reserved: i64,
    now: chrono::DateTime<chrono::Utc>,
}

async fn read_locked(tx: &mut TenantTx, resources: &[String]) -> Result<Vec<Locked>, Fault> {
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

async fn find(tx: &mut TenantTx, wish: &Wish) -> Result<Vec<Reservation>, Fault> {
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
    let same = leases
        .iter()
        .map(|lease| lease.resource)
        .eq(wish.items.iter().map(|item| item.resource));
    // Settled between the two transactions, or used before with other items: the wish itself was not granted.
    if same {
        Ok(leases)
    } else {
        Err(Fault::new(
            ErrorReason::Conflict,
            "this request_id was used for another wish",
        ))
    }
}

fn in_callers_order(wish: &Wish, leases: Vec<Reservation>) -> Vec<Lease> {
    let mut placed: Vec<_> = wish.items.iter().map(|item| item.place).zip(leases).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, lease)| lease.into()).collect()
}

fn exceeded(resource: Resource, level: &Level) -> Fault {
    let (name, limit) = (resource.name(), level.cap);
    Fault::new(
        ErrorReason::QuotaExceeded,
        format!("the plan's limit of {limit} {name} is reached"),
    )
    .fact("resource", name)
    .fact("limit", limit)
    .fact("used", level.used)
    .fact("plan", &level.plan)
    .quota_violation(name, &format!("{} of {limit} {name} are in use", level.used))
}
