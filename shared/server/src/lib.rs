//! How does a server run?
//!
//! One bootstrap for all of them: configuration, the ordered stack of layers, health, reflection, shutdown.

mod boot;
mod bound;
mod channels;
mod config;
mod ended;
mod health;
mod observe;
mod outgoing;
mod parts;
mod round;
mod secret;
mod stack;

pub use boot::main;
pub use config::Config;
pub use parts::{Parts, Routed};
pub use round::Round;
pub use secret::{Secret, SecretSource};
