//! What runs the suite on one machine: private PostgreSQL and Redis, the servers as processes, tokens, sample data.
//!
//! The `onekeel` command and the tests use the same parts.

pub mod bench;
pub mod private;
mod random;
pub mod sample;
mod services;
pub mod spreadsheet;
pub mod stack;
pub mod trace;

pub use random::random_secret;
pub use services::{SERVICES, login_of, password_variable};
