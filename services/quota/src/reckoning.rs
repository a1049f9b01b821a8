//! What the time of Redis must be by now, reckoned from its last answer with a clock that nobody sets. A clock of Redis
//! that disagrees was set, and grants must not age by it. No I/O here.
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A command may take this long to get to Redis, so a clock that was set by less is not noticed.
pub(crate) const SLACK: Duration = Duration::from_millis(500);

/// The last known time of Redis.
#[derive(Default)]
pub(crate) struct Reckoning(Mutex<Option<Seen>>);

/// Redis said that it is `time`, in microseconds, between `sent` and `received`.
#[derive(Clone, Copy)]
struct Seen {
    time: i64,
    sent: Instant,
    received: Instant,
}

impl Reckoning {
    /// What the time is at the least when a question of the time `now` arrives, and how much later it may be, in
    /// microseconds; zeros before the first answer.
    pub fn at(&self, now: Instant) -> (i64, i64) {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.map_or((0, 0), |seen| {
            let earliest = seen.time + micros(now.saturating_duration_since(seen.received));
            (earliest, micros(seen.received - seen.sent + SLACK))
        })
    }

    /// Takes the time in an answer to a question that was sent at `sent`.
    pub fn note(&self, time: i64, sent: Instant) {
        let received = Instant::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { time, sent, received });
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_reckoned_from_the_last_answer() {
        let reckoning = Reckoning::default();
        assert_eq!(reckoning.at(Instant::now()), (0, 0), "nothing was answered yet");
        let sent = Instant::now();
        reckoning.note(5_000_000, sent);
        let (early, slack) = reckoning.at(Instant::now());
        let (late, _) = reckoning.at(Instant::now() + Duration::from_secs(3600));
        assert!((5_000_000..5_100_000).contains(&early), "{early}");
        assert!(
            (3_600_000_000..3_600_100_000).contains(&(late - early)),
            "{}",
            late - early
        );
        assert!((500_000..600_000).contains(&slack), "{slack}");
    }
}
