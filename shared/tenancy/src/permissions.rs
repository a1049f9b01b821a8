//! The one matrix of roles and permissions.
use std::fmt;

/// Every permission that a method may ask for, as `<resource>.<verb>`.
pub const PERMISSIONS: [&str; 31] = [
    "leads.read",
    "leads.write",
    "leads.delete",
    "leads.import",
    "campaigns.read",
    "campaigns.write",
    "campaigns.delete",
    "agents.read",
    "agents.write",
    "agents.delete",
    "conversations.read",
    "conversations.write",
    "settings.read",
    "settings.write",
    "tenants.read",
    "tenants.write",
    "tenants.context",
    "plans.read",
    "plans.write",
    "limits.read",
    "limits.write",
    "quota.read",
    "quota.assign",
    "quota.reserve",
    "quota.allowance",
    "usage.read",
    "audit.read",
    "access.read",
    "access.write",
    "api_keys.read",
    "api_keys.write",
];

/// Reads.
const VIEWER: &[&str] = &[
    "leads.read",
    "campaigns.read",
    "agents.read",
    "conversations.read",
    "settings.read",
    "tenants.read",
    "plans.read",
    "quota.read",
];
/// Also works with leads.
const AGENT: &[&str] = &["leads.write", "conversations.write"];
/// Also decides what is there to work with.
const MANAGER: &[&str] = &[
    "leads.delete",
    "leads.import",
    "campaigns.write",
    "campaigns.delete",
    "agents.write",
    "agents.delete",
];
/// Also sets up its tenant.
const ADMIN: &[&str] = &[
    "settings.write",
    "usage.read",
    "audit.read",
    "access.read",
    "access.write",
    "api_keys.read",
    "api_keys.write",
];
const PLATFORM_VIEWER: &[&str] = &[
    "tenants.read",
    "settings.read",
    "plans.read",
    "limits.read",
    "usage.read",
    "audit.read",
    "access.read",
];
const PLATFORM_ADMIN: &[&str] = &[
    "tenants.write",
    "settings.write",
    "plans.write",
    "limits.write",
    "access.write",
];
const SERVICE: &[&str] = &["tenants.context", "quota.assign", "quota.reserve", "quota.allowance"];

/// Which role grants which permissions: the sum of its parts.
pub const MATRIX: [(Role, &[&[&str]]); 7] = [
    (Role::Viewer, &[VIEWER]),
    (Role::Agent, &[VIEWER, AGENT]),
    (Role::Manager, &[VIEWER, AGENT, MANAGER]),
    (Role::Admin, &[VIEWER, AGENT, MANAGER, ADMIN]),
    (Role::PlatformViewer, &[PLATFORM_VIEWER]),
    (Role::PlatformAdmin, &[PLATFORM_VIEWER, PLATFORM_ADMIN]),
    (Role::Service, &[SERVICE]),
];

/// What a caller is to its tenant, to the platform or to the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also writes leads and conversations.
    Agent,
    /// Also deletes and imports, and keeps campaigns and agents.
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

    /// As what an operator acts inside a tenant for support; nobody else does.
    pub fn in_support(self) -> Option<Self> {
        match self {
            Self::PlatformViewer => Some(Self::Viewer),
            Self::PlatformAdmin => Some(Self::Admin),
            Self::Viewer | Self::Agent | Self::Manager | Self::Admin | Self::Service => None,
        }
    }

    /// Whether a tenant's own users and API keys have the role.
    pub fn is_of_tenant(self) -> bool {
        matches!(self, Self::Viewer | Self::Agent | Self::Manager | Self::Admin)
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
pub struct Permissions(u64);

impl Permissions {
    /// What a role grants.
    pub fn of(role: Role) -> Self {
        let parts = MATRIX.iter().find(|(known, _)| *known == role);
        let parts = parts.map_or(&[][..], |(_, parts)| parts);
        Self::from_names(parts.iter().flat_map(|names| names.iter().copied()))
    }

    /// Not one.
    pub fn none() -> Self {
        Self(0)
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

    /// Whether `other` grants all that this set grants.
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The names of all, in the order of [`PERMISSIONS`].
    pub fn names(self) -> Vec<&'static str> {
        self.beyond(Self::none())
    }

    /// Names of those that `other` does not grant, in the order of [`PERMISSIONS`].
    pub fn beyond(self, other: Self) -> Vec<&'static str> {
        let lacks = |name: &&str| self.contains(name) && !other.contains(name);
        PERMISSIONS.into_iter().filter(lacks).collect()
    }

    fn from_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.filter_map(bit).fold(0, |set, bit| set | bit))
    }
}

fn bit(permission: &str) -> Option<u64> {
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
        for (role, parts) in MATRIX {
            for name in parts.iter().flat_map(|names| names.iter()) {
                assert!(Permissions::of(role).contains(name), "{role} grants the unknown {name}");
            }
            assert_eq!(Role::parse(role.name()), Some(role));
        }
    }

    #[test]
    fn a_set_is_within_another_when_nothing_lies_beyond() {
        let (agent, manager) = (Permissions::of(Role::Agent), Permissions::of(Role::Manager));
        assert!(agent.is_within(manager) && agent.is_within(agent) && agent.beyond(manager).is_empty());
        assert!(!manager.is_within(agent));
        let narrow = agent.narrowed("leads.read leads.write");
        assert_eq!(narrow.beyond(Permissions::of(Role::Viewer)), ["leads.write"]);
    }

    #[test]
    fn a_scope_narrows_and_never_widens() {
        let viewer = Permissions::of(Role::Viewer).narrowed("leads.read leads.delete nonsense");
        assert!(viewer.contains("leads.read"));
        assert!(!viewer.contains("leads.delete"), "a scope widened a role");
        assert!(!viewer.contains("quota.read"), "a scope did not narrow");
    }
}
