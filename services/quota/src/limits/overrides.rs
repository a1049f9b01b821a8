//! A tenant's limits of its own, in the place of its plan's.
use chrono::{DateTime, Utc};
use onekeel_api::quota::{FailurePolicy, ListOverridesResponse, Override, Resource, SetOverrideRequest};
use onekeel_api::{Fault, Violations, timestamp};
use onekeel_store::{DbResult, Event, TenantTx};
use uuid::Uuid;

use crate::caps;
use crate::catalogue::UNLIMITED;
use crate::rate::policy;

const REQUESTS: &str = "requests_per_minute";
const MOST_REQUESTS: i64 = 1_000_000_000;
const MOST_LISTED: i64 = 100;

/// A checked new override.
#[derive(Clone, Debug)]
pub(super) struct NewOverride {
    id: Uuid,
    resource: &'static str,
    limit: Option<i64>,
    expires_at: Option<DateTime<Utc>>,
    reason: String,
    policy: Option<&'static str>,
}

impl TryFrom<SetOverrideRequest> for NewOverride {
    type Error = Fault;

    fn try_from(request: SetOverrideRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        let resource = resource(&request.resource);
        wrong.check(resource.is_some(), "resource", RESOURCES);
        if resource == Some(REQUESTS) {
            let fits = request.limit.is_some_and(|limit| (1..=MOST_REQUESTS).contains(&limit));
            wrong.check(fits, "limit", "must be 1 to 1,000,000,000");
        } else {
            let fits = request.limit.is_none_or(|limit| (0..=UNLIMITED).contains(&limit));
            wrong.check(
                fits,
                "limit",
                "must be 0 to 9,000,000,000,000,000, or absent for unlimited",
            );
        }
        let expires_at = request.expire_time.map(|at| {
            let nanos = u32::try_from(at.nanos).unwrap_or(u32::MAX);
            DateTime::from_timestamp(at.seconds, nanos)
        });
        let ahead = expires_at.is_none_or(|at| at.is_some_and(|at| at > Utc::now()));
        wrong.check(ahead, "expire_time", "must be in the future, or absent");
        wrong.text("reason", &request.reason, 1..=500);
        let policy = request.failure_policy();
        let policy = (policy != FailurePolicy::Unspecified).then(|| policy.name());
        let fits = policy.is_none() || resource == Some(REQUESTS);
        wrong.check(
            fits,
            "failure_policy",
            "is of requests_per_minute only: what a tenant owns is always counted",
        );
        wrong.into_result()?;
        Ok(Self {
            id: Uuid::now_v7(),
            resource: resource.unwrap_or_default(),
            limit: request.limit,
            expires_at: expires_at.flatten(),
            reason: request.reason,
            policy,
        })
    }
}

const RESOURCES: &str = "must be leads, campaigns, agents, storage_bytes or requests_per_minute";

fn resource(name: &str) -> Option<&'static str> {
    if name == REQUESTS {
        return Some(REQUESTS);
    }
    Resource::from_name(name).map(Resource::name)
}

/// What an override may be of.
pub(super) fn limited(name: &str) -> Result<&'static str, Fault> {
    resource(name).ok_or_else(|| Fault::invalid("resource", RESOURCES))
}

/// A row of `quota.overrides`.
#[derive(Clone, Debug)]
pub(super) struct OverrideRow {
    id: Uuid,
    pub resource: String,
    max_units: Option<i64>,
    expires_at: Option<DateTime<Utc>>,
    reason: String,
    failure_policy: Option<String>,
    author: String,
    created_at: DateTime<Utc>,
}

impl From<OverrideRow> for Override {
    fn from(row: OverrideRow) -> Self {
        Self {
            id: row.id.to_string(),
            resource: row.resource,
            limit: row.max_units,
            expire_time: row.expires_at.map(timestamp),
            reason: row.reason,
            failure_policy: row
                .failure_policy
                .map_or(FailurePolicy::Unspecified, |name| policy(Some(&name)))
                .into(),
            author: row.author,
            create_time: Some(timestamp(row.created_at)),
        }
    }
}

/// Writes the override and computes the caps anew, under the lock that every grant waits for.
pub(super) async fn set(tx: &mut TenantTx, new: &NewOverride) -> Result<OverrideRow, Fault> {
    caps::lock(tx).await?;
    let (client, name, now) = (tx.client_id(), tx.name(), caps::now(tx).await?);
    let row = sqlx::query_as!(
        OverrideRow,
        "insert into quota.overrides (client_id, id, resource, max_units, expires_at, reason, author, created_at,
            failure_policy)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        returning id, resource, max_units, expires_at, reason, failure_policy, author, created_at",
        client,
        new.id,
        new.resource,
        new.limit,
        new.expires_at,
        new.reason,
        name,
        now,
        new.policy
    );
    let row = row.fetch_one(tx.conn()).await.on_constraint(|constraint| {
        let absent = constraint.starts_with("overrides_client_fkey");
        absent.then(Fault::not_found)
    })?;
    caps::recompute(tx).await?;
    tx.audit(Event::of("override", row.id).after(&Override::from(row.clone())));
    Ok(row)
}

/// Ends the living overrides of a resource and computes the caps anew; returns how many there were. Its event is of all of
/// them together, as they are listed before they end.
pub(super) async fn end(tx: &mut TenantTx, resource: &str) -> Result<i64, Fault> {
    caps::lock(tx).await?;
    let (client, now) = (tx.client_id(), caps::now(tx).await?);
    let lives = |row: &OverrideRow| row.resource == resource && row.expires_at.is_none_or(|at| at > now);
    let living = list(tx).await?.into_iter().filter(lives).map(Into::into).collect();
    let before = ListOverridesResponse { overrides: living };
    let ended = sqlx::query!(
        "update quota.overrides set expires_at = $3
        where client_id = $1 and resource = $2 and (expires_at is null or expires_at > $3)",
        client,
        resource,
        now
    );
    let ended = ended.execute(tx.conn()).await.db()?.rows_affected();
    caps::recompute(tx).await?;
    tx.audit(Event::of("overrides", resource).before(&before));
    i64::try_from(ended).map_err(Fault::internal)
}

/// The newest overrides, ended ones too.
pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<OverrideRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        OverrideRow,
        "select id, resource, max_units, expires_at, reason, failure_policy, author, created_at from quota.overrides
        where client_id = $1 order by created_at desc, id desc limit $2",
        client,
        MOST_LISTED
    )
    .fetch_all(tx.conn())
    .await
    .db()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(request: SetOverrideRequest) -> Vec<String> {
        let fault = NewOverride::try_from(request).expect_err("a rule is broken");
        fault.violations().iter().map(|(field, _)| field.clone()).collect()
    }

    #[test]
    fn every_rule_of_an_override_is_named_at_once() {
        let bad = SetOverrideRequest {
            resource: "cars".to_owned(),
            limit: Some(-1),
            expire_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..SetOverrideRequest::default()
        };
        assert_eq!(fields(bad), ["resource", "limit", "expire_time", "reason"]);
    }

    #[test]
    fn requests_a_minute_are_never_unlimited() {
        let bad = SetOverrideRequest {
            resource: REQUESTS.to_owned(),
            reason: "a trial".to_owned(),
            ..SetOverrideRequest::default()
        };
        assert_eq!(fields(bad), ["limit"]);
    }
}
