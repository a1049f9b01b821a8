//! A new version of a plan: the catalogue grows, and what was published never changes.
use onekeel_api::quota::{FailurePolicy, Plan, PlanLimit, PublishPlanRequest, Resource};
use onekeel_api::{ErrorReason, Fault, Violations};
use onekeel_store::{DbResult, Event, Store, TenantTx};
use onekeel_tenancy::Tenant;

use crate::catalogue::{self, UNLIMITED};

const MOST_REQUESTS: i64 = 1_000_000_000;

/// A checked new version.
#[derive(Clone, Debug)]
pub(super) struct NewPlan(Plan);

impl TryFrom<PublishPlanRequest> for NewPlan {
    type Error = Fault;

    fn try_from(request: PublishPlanRequest) -> Result<Self, Fault> {
        let mut plan = request.plan.ok_or_else(|| Fault::invalid("plan", "is required"))?;
        if plan.requests_failure_policy() == FailurePolicy::Unspecified {
            plan.set_requests_failure_policy(FailurePolicy::Bounded);
        }
        plan.limits.sort_by_key(|limit| limit.resource().name());
        let mut wrong = Violations::new();
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        wrong.check(
            (2..=40).contains(&plan.id.len()) && plan.id.chars().all(small),
            "plan.id",
            "must be 2 to 40 small letters, digits and hyphens",
        );
        wrong.check(
            plan.version >= 1,
            "plan.version",
            "must be the one that follows the newest",
        );
        wrong.text("plan.display_name", &plan.display_name, 1..=100);
        wrong.check(
            (1..=MOST_REQUESTS).contains(&plan.requests_per_minute),
            "plan.requests_per_minute",
            "must be 1 to 1,000,000,000",
        );
        let named: Vec<Resource> = plan.limits.iter().map(PlanLimit::resource).collect();
        let mut all = Resource::ALL.to_vec();
        all.sort_by_key(|resource| resource.name());
        wrong.check(named == all, "plan.limits", "must have each resource once");
        for (place, limit) in plan.limits.iter().enumerate() {
            let fits = limit.max.is_none_or(|max| (0..=UNLIMITED).contains(&max));
            let field = format!("plan.limits[{place}].max");
            let counted = matches!(
                limit.failure_policy(),
                FailurePolicy::Unspecified | FailurePolicy::Closed
            );
            wrong.check(
                counted,
                &format!("plan.limits[{place}].failure_policy"),
                "must be closed, or absent: what a tenant owns is always counted",
            );
            wrong.check(
                fits,
                &field,
                "must be 0 to 9,000,000,000,000,000, or absent for unlimited",
            );
        }
        wrong.into_result()?;
        for limit in &mut plan.limits {
            limit.set_failure_policy(FailurePolicy::Closed);
        }
        Ok(Self(plan))
    }
}

impl NewPlan {
    /// Writes the version in one statement, when it follows the newest one. A repetition finds what the first try wrote.
    /// A plan belongs to no tenant: its event stands in the trail of the `platform`.
    pub async fn publish(self, store: &Store, platform: &Tenant) -> Result<Plan, Fault> {
        let plan = &self.0;
        let resources: Vec<String> = plan
            .limits
            .iter()
            .map(|limit| limit.resource().name().to_owned())
            .collect();
        let limits: Vec<Option<i64>> = plan.limits.iter().map(|limit| limit.max).collect();
        let write = async |tx: &mut TenantTx| {
            let written = sqlx::query_scalar!(
                r#"with plan as (
                    insert into quota.plans (id, version, display_name, requests_per_minute)
                    select $1, $2, $3, $4
                    where $2 = 1 + coalesce((select max(version) from quota.plans known where known.id = $1), 0)
                    on conflict do nothing
                    returning id, version
                ), policies as (
                    insert into quota.failure_policies (plan_id, plan_version, resource, policy)
                    select id, version, 'requests_per_minute', $7 from plan
                    union all
                    select id, version, resource, 'closed' from plan, unnest($5::text[]) as l(resource)
                )
                insert into quota.plan_limits (plan_id, plan_version, resource, max_units)
                select plan.id, plan.version, l.resource, l.max_units
                from plan, unnest($5::text[], $6::bigint[]) as l(resource, max_units)
                returning plan_version"#,
                plan.id,
                plan.version,
                plan.display_name,
                plan.requests_per_minute,
                &resources,
                &limits as &[Option<i64>],
                plan.requests_failure_policy().name()
            );
            let written = !written.fetch_all(tx.conn()).await.db()?.is_empty();
            if written {
                tx.audit(Event::of("plan", format_args!("{}/{}", plan.id, plan.version)).after(plan));
            }
            Ok(written)
        };
        if !store.run(platform, "publish_plan", write).await? && !catalogue::list(store).await?.contains(&self.0) {
            return Err(Fault::new(
                ErrorReason::Conflict,
                "plan.version is not the one that follows the newest; read ListPlans and try again",
            )
            .fact("field", "plan.version"));
        }
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_a_plan_is_named_at_once() {
        let plan = Some(Plan {
            id: "Gold!".to_owned(),
            limits: vec![PlanLimit {
                failure_policy: FailurePolicy::Unspecified.into(),
                resource: Resource::Leads.into(),
                max: Some(-1),
            }],
            ..Plan::default()
        });
        let fault = NewPlan::try_from(PublishPlanRequest { plan }).expect_err("six rules are broken");
        let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "plan.id",
                "plan.version",
                "plan.display_name",
                "plan.requests_per_minute",
                "plan.limits",
                "plan.limits[0].max"
            ]
        );
    }
}
