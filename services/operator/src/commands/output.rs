//! How commands answer: data on standard output, and wrong usage apart from failure.
use std::fmt;

use serde::Serialize;

/// What the user gave cannot be meant; ends with exit code 2, as flags that nobody knows do.
#[derive(Debug)]
pub struct WrongUsage(pub String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Prints a value for programs.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
