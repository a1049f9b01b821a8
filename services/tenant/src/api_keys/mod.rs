//! ApiKeyService: keys of a tenant's programs, and the short tokens that are given for them.
mod door;
mod exchange;
mod key;
mod prune;
mod repo;
mod secret;
mod service;
mod uses;

pub(crate) use prune::{TASK as PRUNE_TASK, prune_keys};
pub(crate) use service::ApiKeys;
pub(crate) use uses::TASK as USES_TASK;
