//! DomainService: domains that a tenant brings along, and the proof that they are its own.
mod domain;
mod repo;
mod service;
mod txt;

pub(crate) use service::Domains;
