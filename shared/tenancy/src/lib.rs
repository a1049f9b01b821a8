//! Who is calling?
//!
//! A bearer token becomes a [`Caller`]; only a verified one yields a [`Tenant`], the proof that store, cache and gate ask for.

mod caller;
mod claims;
mod key;
mod layer;
mod permissions;
mod signer;
mod verifier;

pub use caller::{Caller, Platform, Service, Tenant};
pub use key::{KeyError, KeyPair, VerifyingKey};
pub use layer::{Auth, AuthLayer};
pub use permissions::{MATRIX, PERMISSIONS, Permissions, Role};
pub use signer::{Signer, UserToken, issue_user_token};
pub use verifier::{Verifier, VerifierConfig};
