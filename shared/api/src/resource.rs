//! The short names of limited resources, as they stand in the database, in errors and in metrics.
use crate::quota::Resource;

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
