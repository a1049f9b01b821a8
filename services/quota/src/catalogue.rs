//! The plans: rows, so that a new price list is no new program.
use std::collections::BTreeMap;

use onekeel_api::Fault;
use onekeel_api::quota::{FailurePolicy, Plan, PlanLimit, Resource};
use onekeel_store::{DbResult, Store, TenantTx};

use crate::rate::policy;

/// Stands for "unlimited" in sums; far above what can be stored, far below what overflows.
pub(crate) const UNLIMITED: i64 = 9_000_000_000_000_000;

/// A cap on the wire: absent when it is unlimited.
pub(crate) fn finite(cap: i64) -> Option<i64> {
    (cap < UNLIMITED).then_some(cap)
}

/// The newest version of a plan.
pub(crate) struct PlanVersion {
    pub id: String,
    pub version: i32,
}

/// The newest version of each plan with its limits.
pub(crate) async fn list(store: &Store) -> Result<Vec<Plan>, Fault> {
    let rows = store.catalogue("list_plans", async |single: &mut _| {
        sqlx::query!(
            r#"select p.id, p.version, p.display_name, p.requests_per_minute, l.resource, l.max_units,
                f.policy as "policy?"
            from quota.plans p join quota.plan_limits l on l.plan_id = p.id and l.plan_version = p.version
            left join quota.failure_policies f on f.plan_id = p.id and f.plan_version = p.version
                and f.resource = 'requests_per_minute'
            where p.version = (select max(version) from quota.plans newest where newest.id = p.id)
            order by p.requests_per_minute, p.id, l.resource"#
        )
        .fetch_all(onekeel_store::Single::conn(single))
        .await
    });
    let mut plans: BTreeMap<(i64, String), Plan> = BTreeMap::new();
    for row in rows.await? {
        let plan = plans
            .entry((row.requests_per_minute, row.id.clone()))
            .or_insert_with(|| Plan {
                id: row.id,
                version: row.version,
                display_name: row.display_name,
                limits: Vec::new(),
                requests_per_minute: row.requests_per_minute,
                requests_failure_policy: policy(row.policy.as_deref()).into(),
            });
        plan.limits.push(PlanLimit {
            resource: Resource::from_name(&row.resource).unwrap_or_default().into(),
            max: row.max_units,
            failure_policy: FailurePolicy::Closed.into(),
        });
    }
    Ok(plans.into_values().collect())
}

/// The newest version of the plan `id`; an unknown plan is `INVALID_ARGUMENT` with the known ones named.
pub(crate) async fn newest(tx: &mut TenantTx, id: &str) -> Result<PlanVersion, Fault> {
    let found = sqlx::query_as!(
        PlanVersion,
        "select id, version from quota.plans where id = $1 order by version desc limit 1",
        id
    )
    .fetch_optional(tx.conn())
    .await
    .db()?;
    if let Some(plan) = found {
        return Ok(plan);
    }
    let known = sqlx::query_scalar!("select distinct id from quota.plans order by id")
        .fetch_all(tx.conn())
        .await
        .db()?;
    Err(Fault::invalid("plan", &format!("must be one of {}", known.join(", "))))
}
