//! AddressService: from where a tenant's users may call.
mod allowlist;
mod repo;
mod service;

pub(crate) use service::Addresses;
