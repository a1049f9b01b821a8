//! AuditService: what was done in a tenant, for those who may know, and for as long as it is kept.
mod filter;
mod repo;
mod retention;
mod service;

pub(crate) use retention::{TASK, prune_trails};
pub(crate) use service::Trails;
