//! What the test suites share: a running stack, tenants, clients, and how tests are run.
//!
//! A suite starts one stack for all of its tests and ends it in order; tests that kill things start their own.

mod clients;
mod contract;
mod dev;
mod dns;
mod dynamic;
mod metrics;
mod programs;
mod run;
mod voice;
mod world;

pub use clients::{Member, lead_named};
pub use contract::{fault_of, is, keeps_contract, same_refusal};
pub use dev::Dev;
pub use dns::Dns;
pub use dynamic::{Method, contract};
pub use metrics::{page, scrape, values};
pub use programs::{Ran, output, program, run};
pub use run::{Body, Test, run_suite, summarise, tool};
pub use voice::Voice;
pub use world::World;
