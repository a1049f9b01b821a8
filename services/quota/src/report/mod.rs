//! What a tenant used and what it costs.
mod cost;
mod period;
mod repo;
mod service;

pub(crate) use service::Reports;
