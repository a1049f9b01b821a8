//! Ids that cannot be mistaken for one another.
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::Fault;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id of version 7: later ids sort after earlier ones.
            pub fn new_v7() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads an id that a caller wrote into `field`; a malformed one is `INVALID_ARGUMENT`.
            pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| Fault::invalid(field, "must be a UUID, for example 0198c5a0-7e6b-7c3a-9a51-1f0c2d3e4f50"))
            }

            /// The plain UUID, for SQL.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// A tenant; the `client_id` of its rows and the `clientId` of its tokens.
    ClientId;
    /// A lead.
    LeadId;
    /// A campaign.
    CampaignId;
    /// An AI agent.
    AgentId;
    /// A conversation with a lead.
    ConversationId;
    /// A lease of quota units.
    LeaseId;
}

impl ClientId {
    /// Stands for the platform itself where a tenant is asked for: what no tenant's trail can hold stands in this one's.
    pub const PLATFORM: Self = Self(Uuid::nil());
}

/// A user as the identity provider names it; unique within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for UserId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
