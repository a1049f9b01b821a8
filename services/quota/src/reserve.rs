//! Leases: wished for, granted all or none, and refused only when rows really hold every unit.
use std::sync::Arc;
use std::time::Duration;

use onekeel_api::quota::{Lease, Resource};
use onekeel_api::{Deadline, ErrorReason, Fault};
use onekeel_tenancy::Tenant;

use crate::batch::Batches;
use crate::grant::Tried;
use crate::lease::Reservation;
use crate::room::{Level, Rooms};
use crate::wish::Wish;

const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Time that an answer needs to reach a caller whose deadline is near.
const ANSWER: Duration = Duration::from_millis(20);

/// Grants the wish, or refuses after every living lease of the short resource was settled.
///
/// # Errors
/// `QUOTA_EXCEEDED` when rows hold every unit; `UNAVAILABLE` when leases could not be settled before the deadline.
pub(crate) async fn reserve(
    batches: &Batches,
    rooms: &Rooms,
    tenant: &Tenant,
    wish: Wish,
) -> Result<Vec<Lease>, Fault> {
    let wish = Arc::new(wish);
    let deadline = Deadline::after(
        Deadline::remaining_or(LONGEST_WAIT)
            .min(LONGEST_WAIT)
            .saturating_sub(ANSWER),
    );
    loop {
        let short = match batches.ask(tenant, &wish).await? {
            Tried::Granted(leases) => return Ok(in_callers_order(&wish, leases)),
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
