//! Giving a tenant a plan. Upgrades are one transaction; a plan that allows less is examined first.
use std::time::Duration;

use chrono::TimeDelta;
use onekeel_api::quota::{AssignPlanResponse, Resource};
use onekeel_api::{Deadline, ErrorReason, Fault};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Tenant;

use crate::caps;
use crate::catalogue::{PlanVersion, UNLIMITED, newest};
use crate::room::Rooms;

/// After a crash in the middle, the lowered caps of a pending plan end by themselves.
const PENDING: TimeDelta = TimeDelta::seconds(60);
const LONGEST_EXAMINATION: Duration = Duration::from_secs(10);

enum Step {
    Done(AssignPlanResponse),
    /// The plan allows less; caps are lowered, and these limits must be examined.
    Examine(PlanVersion),
}

/// Puts the plan `id` in force. A repetition changes nothing.
///
/// # Errors
/// `INVALID_ARGUMENT` for an unknown plan; `PLAN_BELOW_USAGE`, with each excess named, when more is in use than the
/// plan allows and `allow_overage` is not set.
pub(crate) async fn assign(
    store: &Store,
    rooms: &Rooms,
    tenant: &Tenant,
    id: &str,
    allow_overage: bool,
) -> Result<AssignPlanResponse, Fault> {
    let begin = async |tx: &mut TenantTx| begin(tx, id, allow_overage).await;
    let plan = match store.run(tenant, "assign_plan", begin).await? {
        Step::Done(plan) => return Ok(plan),
        Step::Examine(plan) => plan,
    };
    // No grant goes above the lowered caps from here on. What is still held above them is settled, until it fits or
    // nothing is left to settle.
    let deadline = Deadline::after(Deadline::remaining_or(LONGEST_EXAMINATION).min(LONGEST_EXAMINATION) / 2);
    let mut nothing_left = false;
    loop {
        let decide = async |tx: &mut TenantTx| decide(tx, &plan, nothing_left).await;
        let excesses = match store.run(tenant, "decide_plan", decide).await? {
            Ok(plan) => return Ok(plan),
            Err(excesses) if nothing_left => return Err(below_usage(&plan, &excesses)),
            Err(excesses) => excesses,
        };
        nothing_left = true;
        for excess in excesses {
            let resource = Resource::from_name(&excess.resource).unwrap_or_default();
            nothing_left &= rooms.make(tenant, resource).await?.is_settled();
        }
        if deadline.remaining().is_zero() {
            return Err(Fault::unavailable("leases of this tenant are still in use; try again"));
        }
    }
}

async fn begin(tx: &mut TenantTx, id: &str, allow_overage: bool) -> Result<Step, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let plan = newest(tx, id).await?;
    let resources: Vec<String> = Resource::ALL.map(|resource| resource.name().to_owned()).to_vec();
    sqlx::query!(
        "insert into quota.usage (client_id, resource, updated_by)
        select $1, resource, $3 from unnest($2::text[]) as resource on conflict do nothing",
        client,
        &resources,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    sqlx::query!("select quota.enlist($1)", client)
        .execute(tx.conn())
        .await
        .db()?;
    caps::lock(tx).await?;
    if !allow_overage && allows_less(tx, &plan).await? {
        write(tx, "pending", &plan).await?;
        caps::recompute(tx).await?;
        return Ok(Step::Examine(plan));
    }
    put_in_force(tx, &plan).await.map(Step::Done)
}

/// Whether any limit of `plan` is lower than the one in force.
async fn allows_less(tx: &mut TenantTx, plan: &PlanVersion) -> Result<bool, Fault> {
    let client = tx.client_id();
    sqlx::query_scalar!(
        r#"select exists(
            select from quota.assignments a
            join quota.plan_limits old on old.plan_id = a.plan_id and old.plan_version = a.plan_version
            join quota.plan_limits new on new.plan_id = $2 and new.plan_version = $3 and new.resource = old.resource
            where a.client_id = $1 and a.state = 'active'
                and coalesce(new.max_units, $4) < coalesce(old.max_units, $4)) as "less!""#,
        client,
        plan.id,
        plan.version,
        UNLIMITED
    )
    .fetch_one(tx.conn())
    .await
    .db()
}

async fn put_in_force(tx: &mut TenantTx, plan: &PlanVersion) -> Result<AssignPlanResponse, Fault> {
    write(tx, "active", plan).await?;
    drop_pending(tx).await?;
    caps::recompute(tx).await?;
    Ok(AssignPlanResponse {
        plan: plan.id.clone(),
        version: plan.version,
    })
}

async fn write(tx: &mut TenantTx, state: &str, plan: &PlanVersion) -> Result<(), Fault> {
    let (client, name, now) = (tx.client_id(), tx.name(), caps::now(tx).await?);
    let expires_at = (state == "pending").then(|| now + PENDING);
    sqlx::query!(
        "insert into quota.assignments (client_id, state, plan_id, plan_version, expires_at, assigned_at, updated_by)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (client_id, state) do update set plan_id = excluded.plan_id, plan_version = excluded.plan_version,
            expires_at = excluded.expires_at, assigned_at = excluded.assigned_at, updated_by = excluded.updated_by",
        client,
        state,
        plan.id,
        plan.version,
        expires_at,
        now,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}

async fn drop_pending(tx: &mut TenantTx) -> Result<(), Fault> {
    let client = tx.client_id();
    sqlx::query!(
        "delete from quota.assignments where client_id = $1 and state = 'pending'",
        client
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}

struct Excess {
    resource: String,
    held: i64,
    allowed: i64,
}

/// Compares what is held with the lowered caps and puts the plan in force when it fits. When it does not, its pending
/// row goes with the `last` comparison, and the caps are what they were.
async fn decide(
    tx: &mut TenantTx,
    plan: &PlanVersion,
    last: bool,
) -> Result<Result<AssignPlanResponse, Vec<Excess>>, Fault> {
    let client = tx.client_id();
    caps::lock(tx).await?;
    let pending = sqlx::query_scalar!(
        "select plan_id from quota.assignments where client_id = $1 and state = 'pending' and plan_version = $2",
        client,
        plan.version
    );
    if pending.fetch_optional(tx.conn()).await.db()?.as_ref() != Some(&plan.id) {
        return Err(Fault::state_conflict(
            "plan",
            "another change of this tenant's plan came in between; try again",
        ));
    }
    let excesses = sqlx::query_as!(
        Excess,
        r#"select resource, used + reserved as "held!", cap as allowed from quota.usage
        where client_id = $1 and used + reserved > cap order by resource"#,
        client
    );
    let excesses = excesses.fetch_all(tx.conn()).await.db()?;
    if excesses.is_empty() {
        return put_in_force(tx, plan).await.map(Ok);
    }
    if last {
        drop_pending(tx).await?;
        caps::recompute(tx).await?;
    }
    Ok(Err(excesses))
}

fn below_usage(plan: &PlanVersion, excesses: &[Excess]) -> Fault {
    let said = excesses
        .iter()
        .map(|excess| format!("{} {} of {}", excess.held, excess.resource, excess.allowed));
    let said: Vec<_> = said.collect();
    let message = format!("the plan {} allows less than is in use: {}", plan.id, said.join(", "));
    excesses
        .iter()
        .fold(Fault::new(ErrorReason::PlanBelowUsage, message), |fault, excess| {
            let held = format!("{} of {}", excess.held, excess.allowed);
            fault
                .fact(&excess.resource, &held)
                .precondition(&excess.resource, &held)
        })
}
