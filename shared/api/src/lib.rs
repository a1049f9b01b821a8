//! What do callers and servers say to one another?
//!
//! The generated contract, typed ids, page tokens, method policies, deadlines and the one error, [`Fault`].

pub mod call;
mod carried;
mod codec;
pub mod deadline;
mod declared;
mod digest;
mod etag;
mod fault;
mod fault_status;
pub mod filter;
mod id;
mod mask;
pub mod meter;
mod network;
mod origin;
mod page;
mod policy;
mod resource;
mod secret;
pub mod structure;
mod text;
mod time;
pub mod trace;
mod update;
mod violations;

pub use call::Call;
pub use carried::Carried;
pub use codec::SmallBuffers;
pub use deadline::Deadline;
pub use digest::Digest;
pub use etag::Etag;
pub use fault::Fault;
pub use id::{AgentId, CampaignId, ClientId, ConversationId, LeadId, LeaseId, UserId};
pub use mask::Mask;
pub use meter::Meter;
pub use network::Network;
pub use origin::{HostName, Origin};
pub use page::{Page, PageKey};
pub use policy::{Policies, Policy, PolicyError};
pub use text::{is_prose, is_text};
pub use time::timestamp;
pub use update::{Changeable, Update};
pub use violations::Violations;

pub use common::ErrorReason;
pub use options::Audience;

/// Domain of every `google.rpc.ErrorInfo` that the suite sends.
pub const ERROR_DOMAIN: &str = "onekeel";

/// The whole contract with its options and comments, as an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/onekeel.bin"));

macro_rules! generated {
    ($($(#[$doc:meta])* $area:ident = $package:literal;)*) => {$(
        $(#[$doc])*
        #[allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated code keeps its generator's style")]
        pub mod $area {
            tonic::include_proto!($package);
        }
    )*};
}

generated! {
    /// `onekeel.common.v1`
    common = "onekeel.common.v1";
    /// `onekeel.options.v1`
    options = "onekeel.options.v1";
    /// `onekeel.tenant.v1`
    tenant = "onekeel.tenant.v1";
    /// `onekeel.lead.v1`
    lead = "onekeel.lead.v1";
    /// `onekeel.campaign.v1`
    campaign = "onekeel.campaign.v1";
    /// `onekeel.quota.v1`
    quota = "onekeel.quota.v1";
}
