//! A tenant: how it comes in, how it stands in the database, how it goes out.
use chrono::{DateTime, Utc};
use onekeel_api::tenant::{CreateTenantRequest, Tenant, TenantState};
use onekeel_api::{ClientId, Fault, Violations, timestamp};
use uuid::Uuid;

const LONGEST_NAME: usize = 120;
const SLUG: std::ops::RangeInclusive<usize> = 3..=40;
const LONGEST_PLAN: usize = 40;

/// A checked new tenant.
#[derive(Clone, Debug)]
pub(crate) struct NewTenant {
    pub id: ClientId,
    pub display_name: String,
    pub slug: String,
    pub plan: String,
    pub request_id: Option<Uuid>,
}

impl TryFrom<CreateTenantRequest> for NewTenant {
    type Error = Fault;

    fn try_from(request: CreateTenantRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        let display_name = check_name(&mut wrong, "display_name", &request.display_name);
        wrong.check(
            is_slug(&request.slug),
            "slug",
            "must be 3 to 40 of a-z, 0-9 and inner `-`",
        );
        check_plan(&mut wrong, &request.plan);
        let request_id = wrong.optional_uuid("request_id", &request.request_id);
        wrong.into_result()?;
        Ok(Self {
            id: ClientId::new_v7(),
            display_name,
            slug: request.slug,
            plan: request.plan,
            request_id,
        })
    }
}

/// A name for people, without blanks around it.
pub(crate) fn check_name(wrong: &mut Violations, field: &str, name: &str) -> String {
    let name = name.trim();
    wrong.text(field, name, 1..=LONGEST_NAME);
    name.to_owned()
}

/// A plan's name is checked for its shape here; whether there is such a plan, only QuotaService knows.
pub(crate) fn check_plan(wrong: &mut Violations, plan: &str) {
    let shaped = plan
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    wrong.check(
        (1..=LONGEST_PLAN).contains(&plan.len()) && shaped,
        "plan",
        "must be a plan, for example basic",
    );
}

pub(crate) fn is_slug(slug: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    SLUG.contains(&slug.len()) && slug.bytes().all(inner) && !slug.starts_with('-') && !slug.ends_with('-')
}

/// A row of `tenant.clients`.
#[derive(Clone, Debug)]
pub(crate) struct TenantRow {
    pub client_id: Uuid,
    pub display_name: String,
    pub slug: String,
    pub state: String,
    pub plan: Option<String>,
    pub pending_plan: Option<String>,
    pub pending_overage: bool,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub purge_at: Option<DateTime<Utc>>,
}

impl TenantRow {
    /// What the API shows of it.
    pub fn shown(&self) -> Tenant {
        self.clone().into()
    }

    /// A deleted tenant changes in one way only: it comes back.
    pub fn refuse_deleted(&self) -> Result<(), Fault> {
        if self.deleted_at.is_none() {
            return Ok(());
        }
        Err(Fault::state_conflict(
            "state",
            "the tenant is deleted; undelete it first",
        ))
    }

    fn state(&self) -> TenantState {
        state_of(&self.state, self.deleted_at.is_some())
    }
}

/// The state of a tenant in this row; what it was stays while it is deleted.
pub(crate) fn state_of(state: &str, deleted: bool) -> TenantState {
    match state {
        _ if deleted => TenantState::Deleted,
        "provisioning" => TenantState::Provisioning,
        "active" => TenantState::Active,
        "read_only" => TenantState::ReadOnly,
        "suspended" => TenantState::Suspended,
        _ => TenantState::Unspecified,
    }
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        let state = row.state();
        Self {
            id: row.client_id.to_string(),
            display_name: row.display_name,
            slug: row.slug,
            plan: row.plan.unwrap_or_default(),
            state: state.into(),
            create_time: Some(timestamp(row.created_at)),
            update_time: Some(timestamp(row.updated_at)),
            etag: row.version.to_string(),
            delete_time: row.deleted_at.map(timestamp),
            purge_time: row.purge_at.map(timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_a_new_tenant_is_named_at_once() {
        let request = CreateTenantRequest {
            display_name: " ".to_owned(),
            slug: "-a".to_owned(),
            plan: "Basic plan".to_owned(),
            request_id: "7".to_owned(),
        };
        let fault = NewTenant::try_from(request).expect_err("four rules are broken");
        let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["display_name", "slug", "plan", "request_id"]);
    }

    #[test]
    fn a_slug_is_fit_for_a_host_name() {
        for good in ["abc", "a-b", "0a9", &"x".repeat(40)] {
            assert!(is_slug(good), "{good}");
        }
        for bad in ["", "ab", "-ab", "ab-", "aBc", "a.b", "a_b", "äbc", &"x".repeat(41)] {
            assert!(!is_slug(bad), "{bad}");
        }
    }
}
