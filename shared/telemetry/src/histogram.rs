//! A histogram of durations with fixed buckets: one atomic addition or two for each call.
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seconds; from a cache hit to the longest import.
pub(crate) const BOUNDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 60.0,
];

#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each bound, and one above all of them.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Writes its series in the text format of Prometheus; nothing while it holds nothing.
    pub fn render(&self, name: &str, labels: &str, text: &mut String) {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return;
        }
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&counts) {
            below += count;
            writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}").expect("a string takes it");
        }
        let seconds = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        writeln!(
            text,
            "{name}_bucket{{{labels},le=\"+Inf\"}} {total}\n{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {total}"
        )
        .expect("a string takes it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_its_bucket_and_all_above() {
        let histogram = Histogram::default();
        let mut text = String::new();
        histogram.render("h", "a=\"1\"", &mut text);
        assert_eq!(text, "", "an empty one has no series");
        histogram.record(Duration::from_millis(5));
        histogram.record(Duration::from_secs(70));
        histogram.render("h", "a=\"1\"", &mut text);
        for line in [
            "h_bucket{a=\"1\",le=\"0.0025\"} 0",
            "h_bucket{a=\"1\",le=\"0.005\"} 1",
            "h_bucket{a=\"1\",le=\"60\"} 1",
            "h_bucket{a=\"1\",le=\"+Inf\"} 2",
            "h_sum{a=\"1\"} 70.005",
            "h_count{a=\"1\"} 2",
        ] {
            assert!(text.lines().any(|own| own == line), "no {line} in {text}");
        }
    }
}
