//! How many lines about refusals the log takes.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines in one second; a caller that is refused ten thousand times shall not write ten thousand lines.
const MOST_REFUSALS: u64 = 100;

/// Lines of the present second: the second above, their number in the lower 24 bits.
#[derive(Default)]
pub(crate) struct Lines(AtomicU64);

impl Lines {
    /// Whether there is room for one more, which is counted then.
    pub fn may_add(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.may_add_at(now.as_secs())
    }

    fn may_add_at(&self, second: u64) -> bool {
        let count = |state: u64| {
            if state >> 24 == second { state & 0xff_ffff } else { 0 }
        };
        let add = |state: u64| {
            let lines = count(state);
            (lines < MOST_REFUSALS).then_some(second << 24 | (lines + 1))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_next_as_many_again() {
        let lines = Lines::default();
        for second in [7, 8] {
            let added = (0..1000).filter(|_| lines.may_add_at(second)).count();
            assert_eq!(added as u64, MOST_REFUSALS);
        }
    }
}
