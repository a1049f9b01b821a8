//! The short names of limited resources and of failure policies, as they stand in the database, in errors and in metrics.
use crate::quota::{FailurePolicy, Resource};

impl Resource {
    /// Every resource that a plan limits.
    pub const ALL: [Self; 4] = [Self::Leads, Self::Campaigns, Self::Agents, Self::StorageBytes];

    /// The short name, for example `leads`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leads => "leads",
            Self::Campaigns => "campaigns",
            Self::Agents => "agents",
            Self::StorageBytes => "storage_bytes",
            Self::Unspecified => "unspecified",
        }
    }

    /// The resource with this short name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }
}

impl FailurePolicy {
    /// The short name, for example `bounded`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Bounded => "bounded",
            Self::Unspecified => "unknown",
        }
    }

    /// The policy with this short name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Closed, Self::Open, Self::Bounded]
            .into_iter()
            .find(|policy| policy.name() == name)
    }
}
