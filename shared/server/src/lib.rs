//! How does a server run?
//!
//! One bootstrap for all of them: configuration, the ordered stack of layers, TLS, health, reflection, shutdown.

mod boot;
mod bound;
mod channels;
mod chore;
mod config;
mod contract;
mod drain;
mod ended;
mod front;
mod health;
mod keys;
mod lines;
mod metering;
mod observe;
mod origin;
mod outgoing;
mod outside;
mod parts;
mod ready;
mod resend;
mod round;
mod secret;
mod services;
mod stack;
mod support;
pub mod transport;
mod watch;

pub use boot::main;
pub use onekeel_telemetry::Page;

pub use chore::{Batch, Chore};
pub use config::Config;
pub use drain::Draining;
pub use keys::{KeySettings, KeySource};
pub use parts::{Parts, Routed};
pub use ready::Ready;
pub use resend::Resend;
pub use round::{Round, every};
pub use secret::{Secret, SecretSource};
pub use services::{GrpcService, RequestBody, Services};
pub use transport::Transport;
