//! A key: how it is wished for, how it stands in the database, how it goes out, and what it may grant.
use chrono::{DateTime, TimeDelta, Utc};
use onekeel_api::tenant::{ApiKey, CreateApiKeyRequest, RotateApiKeyRequest};
use onekeel_api::{ErrorReason, Fault, Violations, timestamp};
use onekeel_tenancy::{PERMISSIONS, Permissions, Role};
use uuid::Uuid;

const LONGEST_NAME: usize = 120;
const MOST_SCOPES: usize = 64;
const LONGEST_LIFE: TimeDelta = TimeDelta::days(3653);
const USUAL_OVERLAP: TimeDelta = TimeDelta::days(1);
const LONGEST_OVERLAP: TimeDelta = TimeDelta::days(7);

/// A checked new key.
#[derive(Clone, Debug)]
pub(super) struct NewKey {
    pub id: Uuid,
    pub name: String,
    pub role: Role,
    pub scopes: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

impl NewKey {
    /// Checks a wish, and that its maker may do all that the key would grant.
    pub fn read(wish: &CreateApiKeyRequest, maker: Permissions) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        wrong.text("name", &wish.name, 1..=LONGEST_NAME);
        let role = Role::parse(&wish.role).filter(|role| role.is_of_tenant());
        wrong.check(role.is_some(), "role", "must be viewer, agent, manager or admin");
        let scopes = scopes(&mut wrong, &wish.scopes, role);
        let now = Utc::now();
        let at = |time: &prost_types::Timestamp| {
            let at = DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)?;
            (now < at && at <= now + LONGEST_LIFE).then_some(at)
        };
        let expires_at = wish.expire_time.as_ref().map(at);
        let fits = expires_at.is_none_or(|at| at.is_some());
        wrong.check(fits, "expire_time", "must be in the future, at most ten years ahead");
        wrong.into_result()?;
        let role = role.ok_or_else(|| Fault::internal("an unknown role was not refused"))?;
        refuse_more_than(maker, granted(role, &scopes))?;
        Ok(Self {
            id: Uuid::now_v7(),
            name: wish.name.clone(),
            role,
            scopes,
            expires_at: expires_at.flatten(),
        })
    }
}

/// The scopes in alphabetical order, each once. One that narrows nothing is a mistake.
fn scopes(wrong: &mut Violations, wished: &[String], role: Option<Role>) -> Vec<String> {
    wrong.check(wished.len() <= MOST_SCOPES, "scopes", "must be at most 64");
    for (place, scope) in wished.iter().take(MOST_SCOPES).enumerate() {
        let field = format!("scopes[{place}]");
        if !PERMISSIONS.contains(&scope.as_str()) {
            wrong.add(
                &field,
                "is no permission; see `onekeel permissions`, for example leads.read",
            );
        } else if role.is_some_and(|role| !Permissions::of(role).contains(scope)) {
            wrong.add(&field, "is no permission of the role, which it can only narrow");
        }
    }
    let mut scopes = wished.to_vec();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// What a key grants; without scopes, all of its role.
fn granted(role: Role, scopes: &[String]) -> Permissions {
    let all = Permissions::of(role);
    if scopes.is_empty() {
        all
    } else {
        all.narrowed(&scopes.join(" "))
    }
}

/// Nobody gets more by a key than it has itself.
fn refuse_more_than(maker: Permissions, granted: Permissions) -> Result<(), Fault> {
    let beyond = granted.beyond(maker);
    if beyond.is_empty() {
        return Ok(());
    }
    let names = beyond.join(", ");
    Err(Fault::new(
        ErrorReason::PermissionDenied,
        format!("the key would grant what you may not do yourself: {names}"),
    ))
}

/// How long the secret before goes on.
pub(super) fn overlap_of(wish: &RotateApiKeyRequest) -> Result<TimeDelta, Fault> {
    let Some(overlap) = &wish.overlap else {
        return Ok(USUAL_OVERLAP);
    };
    let read = u32::try_from(overlap.nanos).ok();
    let read = read.and_then(|nanos| TimeDelta::new(overlap.seconds, nanos));
    let fits = read.filter(|overlap| (TimeDelta::zero()..=LONGEST_OVERLAP).contains(overlap));
    fits.ok_or_else(|| Fault::invalid("overlap", "must be zero to seven days (604800s)"))
}

/// A row of `tenant.api_keys`.
#[derive(Clone, Debug)]
pub(super) struct KeyRow {
    pub id: Uuid,
    pub name: String,
    pub role: String,
    pub scopes: Vec<String>,
    pub hint: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub overlap_ends_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    /// Refuses to give it another secret when it has ended, or when it grants what the caller may not do.
    pub fn refuse_rotation(&self, caller: Permissions, now: DateTime<Utc>) -> Result<(), Fault> {
        let ended = |why: &str| Err(Fault::state_conflict("api_key", why));
        if self.revoked_at.is_some() {
            return ended("the key is revoked; create another one");
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return ended("the key has expired; create another one");
        }
        refuse_more_than(caller, granted(role_of(&self.role)?, &self.scopes))
    }

    /// What the API shows of it.
    pub fn shown(&self) -> ApiKey {
        ApiKey {
            id: self.id.to_string(),
            name: self.name.clone(),
            role: self.role.clone(),
            scopes: self.scopes.clone(),
            hint: self.hint.clone(),
            creator: self.created_by.clone(),
            create_time: Some(timestamp(self.created_at)),
            expire_time: self.expires_at.map(timestamp),
            last_used_time: self.last_used_at.map(timestamp),
            revoke_time: self.revoked_at.map(timestamp),
            overlap_end_time: self.overlap_ends_at.map(timestamp),
        }
    }
}

/// What a secret that was shown is good for at present.
#[derive(Clone, Debug)]
pub(super) struct ShownKey {
    pub role: String,
    pub scopes: Vec<String>,
    pub until: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

impl ShownKey {
    /// The role that its token has, and what the token may do.
    pub fn grant(&self) -> Result<(Role, Permissions), Fault> {
        let role = role_of(&self.role)?;
        Ok((role, granted(role, &self.scopes)))
    }
}

/// A role as it is kept; anything else is no key's.
fn role_of(kept: &str) -> Result<Role, Fault> {
    let role = Role::parse(kept).filter(|role| role.is_of_tenant());
    role.ok_or_else(|| Fault::internal("a key has a role that no key can have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> CreateApiKeyRequest {
        CreateApiKeyRequest {
            name: "nightly import".to_owned(),
            role: "agent".to_owned(),
            scopes: vec![
                "leads.write".to_owned(),
                "leads.read".to_owned(),
                "leads.read".to_owned(),
            ],
            expire_time: Some(timestamp(Utc::now() + TimeDelta::days(90))),
        }
    }

    fn admin() -> Permissions {
        Permissions::of(Role::Admin)
    }

    #[test]
    fn a_wish_is_read_as_it_is_meant() {
        let new = NewKey::read(&wish(), admin()).expect("a key");
        assert_eq!(new.role, Role::Agent);
        assert_eq!(new.scopes, ["leads.read", "leads.write"]);
        assert!(new.expires_at.is_some());
        let forever = CreateApiKeyRequest {
            expire_time: None,
            scopes: Vec::new(),
            ..wish()
        };
        let new = NewKey::read(&forever, admin()).expect("a key");
        assert!(new.expires_at.is_none() && new.scopes.is_empty());
        assert_eq!(granted(new.role, &new.scopes), Permissions::of(Role::Agent));
    }

    #[test]
    fn each_broken_rule_is_named() {
        let at = |delta| Some(timestamp(Utc::now() + delta));
        let bad = [
            (
                "name",
                CreateApiKeyRequest {
                    name: String::new(),
                    ..wish()
                },
            ),
            (
                "name",
                CreateApiKeyRequest {
                    name: "x".repeat(121),
                    ..wish()
                },
            ),
            (
                "name",
                CreateApiKeyRequest {
                    name: "a\nb".to_owned(),
                    ..wish()
                },
            ),
            (
                "role",
                CreateApiKeyRequest {
                    role: String::new(),
                    ..wish()
                },
            ),
            (
                "role",
                CreateApiKeyRequest {
                    role: "service".to_owned(),
                    ..wish()
                },
            ),
            (
                "role",
                CreateApiKeyRequest {
                    role: "platform_admin".to_owned(),
                    ..wish()
                },
            ),
            (
                "scopes[1]",
                CreateApiKeyRequest {
                    scopes: vec!["leads.read".to_owned(), "leads.fly".to_owned()],
                    ..wish()
                },
            ),
            (
                "scopes[0]",
                CreateApiKeyRequest {
                    scopes: vec!["leads.delete".to_owned()],
                    ..wish()
                },
            ),
            (
                "scopes",
                CreateApiKeyRequest {
                    scopes: vec!["leads.read".to_owned(); 65],
                    ..wish()
                },
            ),
            (
                "expire_time",
                CreateApiKeyRequest {
                    expire_time: at(TimeDelta::seconds(-1)),
                    ..wish()
                },
            ),
            (
                "expire_time",
                CreateApiKeyRequest {
                    expire_time: at(TimeDelta::days(3700)),
                    ..wish()
                },
            ),
            (
                "expire_time",
                CreateApiKeyRequest {
                    expire_time: Some(prost_types::Timestamp {
                        seconds: i64::MAX,
                        nanos: -1,
                    }),
                    ..wish()
                },
            ),
        ];
        for (field, wish) in bad {
            let fault = NewKey::read(&wish, admin()).expect_err(field);
            assert_eq!(fault.violations()[0].0, field, "{wish:?}");
        }
    }

    #[test]
    fn nobody_makes_a_key_with_more_than_it_has() {
        let all_of_agent = CreateApiKeyRequest {
            scopes: Vec::new(),
            ..wish()
        };
        for (maker, made) in [
            (admin(), true),
            (Permissions::of(Role::Agent), true),
            (Permissions::of(Role::Viewer), false),
            (admin().narrowed("api_keys.write leads.read"), false),
            (Permissions::none(), false),
        ] {
            let read = NewKey::read(&all_of_agent, maker);
            assert_eq!(read.is_ok(), made, "{:?}", maker.names());
        }
        let narrow = admin().narrowed("api_keys.write leads.read leads.write");
        NewKey::read(&wish(), narrow).expect("as much as it has");
        let fault = NewKey::read(&all_of_agent, narrow).expect_err("more than it has");
        assert_eq!(fault.reason(), ErrorReason::PermissionDenied);
        assert!(
            fault.message().contains("campaigns.read") && !fault.message().contains("leads."),
            "{fault}"
        );
    }

    #[test]
    fn an_overlap_is_at_most_a_week() {
        let of = |seconds, nanos| {
            let overlap = Some(prost_types::Duration { seconds, nanos });
            overlap_of(&RotateApiKeyRequest {
                id: String::new(),
                overlap,
            })
        };
        assert_eq!(of(0, 0).expect("none"), TimeDelta::zero());
        assert_eq!(of(604_800, 0).expect("a week"), LONGEST_OVERLAP);
        for (seconds, nanos) in [(604_800, 1), (-1, 0), (0, -1), (i64::MAX, 0), (i64::MIN, i32::MIN)] {
            assert_eq!(of(seconds, nanos).expect_err("no overlap").violations()[0].0, "overlap");
        }
        assert_eq!(
            overlap_of(&RotateApiKeyRequest::default()).expect("the usual one"),
            USUAL_OVERLAP
        );
    }
}
