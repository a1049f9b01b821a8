//! How does a server run?
//!
//! One bootstrap for all of them: configuration, the ordered stack of layers, TLS, health, reflection, shutdown.

mod boot;
mod bound;
mod channels;
mod config;
mod contract;
mod drain;
mod ended;
mod health;
mod metering;
mod observe;
mod outgoing;
mod parts;
mod resend;
mod round;
mod secret;
mod stack;
pub mod transport;

pub use boot::main;
pub use config::Config;
pub use drain::Draining;
pub use parts::{Parts, Routed};
pub use resend::Resend;
pub use round::Round;
pub use secret::{Secret, SecretSource};
pub use transport::Transport;
