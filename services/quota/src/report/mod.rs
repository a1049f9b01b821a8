//! What a tenant used and what it costs.
mod cost;
mod period;
mod publish;
mod repo;
mod service;

pub(crate) use service::Reports;
