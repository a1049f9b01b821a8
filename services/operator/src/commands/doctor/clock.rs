//! Clocks that differ: tokens would be refused, and expiries judged wrongly.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::findings::{Findings, Status};

const MOST: Duration = Duration::from_secs(1);
/// Tokens are taken half a minute early or late.
const FAR: Duration = Duration::from_secs(30);

/// What was asked: from when to when by our own clock, and what the other clock said in between (seconds since 1970).
pub struct Asked {
    pub before: SystemTime,
    pub after: SystemTime,
    pub other: f64,
}

impl Asked {
    /// Compares the other clock with ours.
    pub fn judge(&self, findings: &mut Findings, name: &str, whose: &str) {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (before, after) = (seconds(self.before), seconds(self.after));
        // The answer was made at some moment in between; only what lies outside is a difference.
        let skew = (before - self.other).max(self.other - after).max(0.0);
        let status = match skew {
            skew if skew > FAR.as_secs_f64() => Status::Failure,
            skew if skew > MOST.as_secs_f64() => Status::Warning,
            _ => Status::Ok,
        };
        findings.judge(
            name,
            status,
            format!("the clock of {whose} and ours differ by {skew:.3} s"),
            "let both machines follow the same time servers (chrony or systemd-timesyncd)",
        );
    }
}
