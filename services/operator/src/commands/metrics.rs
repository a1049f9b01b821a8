//! `onekeel metrics`
use clap::Args;

/// Prints the page `docs/metrics.md`: every metric of the servers with its meaning.
#[derive(Args)]
pub struct Metrics {}

impl Metrics {
    #[expect(clippy::unused_self, reason = "a command like the others")]
    pub fn run(self) {
        print!("{}", onekeel_telemetry::catalogue::page());
    }
}
