//! Who is calling?
//!
//! A bearer token becomes a [`Caller`]; only a verified one yields a [`Tenant`], the proof that store, cache and gate ask for.

mod caller;
mod claims;
mod header;
mod jwks;
mod key;
mod layer;
mod permissions;
mod refusal;
mod ring;
mod signer;
mod support;
mod verifier;

pub use caller::{ApiKeyId, Caller, Platform, Service, Tenant};
pub use claims::ClaimNames;
pub use jwks::{KeySet, LARGEST_KEY_SET, publish};
pub use key::{KeyError, KeyPair, VerifyingKey};
pub use layer::{Auth, AuthLayer};
pub use permissions::{MATRIX, PERMISSIONS, Permissions, Role};
pub use ring::{TokenRules, Trust, TrustedKey, service_key_id};
pub use signer::{ApiKeyToken, Signer, UserToken, issue_user_token};
pub use support::{REASON_HEADER, TENANT_HEADER};
pub use verifier::Verifier;
