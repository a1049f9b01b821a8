//! The one matrix of roles and permissions.
use std::fmt;

/// Every permission that a method may ask for, as `<resource>.<verb>`.
pub const PERMISSIONS: [&str; 12] = [
    "leads.read",
    "leads.write",
    "leads.delete",
    "leads.import",
    "tenants.read",
    "tenants.write",
    "tenants.context",
    "plans.read",
    "quota.read",
    "quota.assign",
    "quota.reserve",
    "quota.allowance",
];

const VIEWER: &[&str] = &["leads.read", "tenants.read", "plans.read", "quota.read"];
const AGENT: &[&str] = &["leads.read", "leads.write", "tenants.read", "plans.read", "quota.read"];
const MANAGER: &[&str] = &[
    "leads.read",
    "leads.write",
    "leads.delete",
    "leads.import",
    "tenants.read",
    "plans.read",
    "quota.read",
];
const PLATFORM_VIEWER: &[&str] = &["tenants.read", "plans.read"];
const PLATFORM_ADMIN: &[&str] = &["tenants.read", "tenants.write", "plans.read"];
const SERVICE: &[&str] = &["tenants.context", "quota.assign", "quota.reserve", "quota.allowance"];

/// Which role grants which permissions.
pub const MATRIX: [(Role, &[&str]); 7] = [
    (Role::Viewer, VIEWER),
    (Role::Agent, AGENT),
    (Role::Manager, MANAGER),
    (Role::Admin, MANAGER),
    (Role::PlatformViewer, PLATFORM_VIEWER),
    (Role::PlatformAdmin, PLATFORM_ADMIN),
    (Role::Service, SERVICE),
];

/// What a caller is to its tenant, to the platform or to the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also writes leads.
    Agent,
    /// Also deletes and imports.
    Manager,
    /// Everything in its tenant.
    Admin,
    /// Reads tenants.
    PlatformViewer,
    /// Manages tenants.
    PlatformAdmin,
    /// A server of the suite.
    Service,
}

impl Role {
    /// The role with this name in a token; `None` for any other text.
    pub fn parse(name: &str) -> Option<Self> {
        MATRIX.iter().map(|(role, _)| *role).find(|role| role.name() == name)
    }

    /// The name in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Manager => "manager",
            Self::Admin => "admin",
            Self::PlatformViewer => "platform_viewer",
            Self::PlatformAdmin => "platform_admin",
            Self::Service => "service",
        }
    }

    /// Whether the role spans tenants.
    pub fn is_platform(self) -> bool {
        matches!(self, Self::PlatformViewer | Self::PlatformAdmin)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of permissions; one bit for each of [`PERMISSIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// What a role grants.
    pub fn of(role: Role) -> Self {
        let granted = MATRIX
            .iter()
            .find(|(known, _)| *known == role)
            .map_or(&[][..], |(_, names)| names);
        Self::from_names(granted.iter().copied())
    }

    /// What remains when a token's `scope` (names between blanks) narrows it; a scope never widens.
    #[must_use]
    pub fn narrowed(self, scope: &str) -> Self {
        Self(self.0 & Self::from_names(scope.split_ascii_whitespace()).0)
    }

    /// Whether the permission is in the set; an unknown name never is.
    pub fn contains(self, permission: &str) -> bool {
        bit(permission).is_some_and(|bit| self.0 & bit != 0)
    }

    fn from_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.filter_map(bit).fold(0, |set, bit| set | bit))
    }
}

fn bit(permission: &str) -> Option<u32> {
    PERMISSIONS
        .iter()
        .position(|known| *known == permission)
        .map(|place| 1 << place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_granted_permission_is_a_known_one() {
        for (role, names) in MATRIX {
            for name in names {
                assert!(Permissions::of(role).contains(name), "{role} grants the unknown {name}");
            }
            assert_eq!(Role::parse(role.name()), Some(role));
        }
    }

    #[test]
    fn a_scope_narrows_and_never_widens() {
        let viewer = Permissions::of(Role::Viewer).narrowed("leads.read leads.delete nonsense");
        assert!(viewer.contains("leads.read"));
        assert!(!viewer.contains("leads.delete"), "a scope widened a role");
        assert!(!viewer.contains("quota.read"), "a scope did not narrow");
    }
}
