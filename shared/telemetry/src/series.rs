//! The counters of one tenant: calls by method and code, and how long they took. Held, never looked up by label.
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::codes::CODES;
use crate::histogram::Histogram;

/// One value of the label `tenant`.
#[derive(Debug)]
pub(crate) struct Series {
    /// By method, then by code.
    calls: Box<[AtomicU64]>,
    durations: Histogram,
}

impl Series {
    pub fn new(methods: usize) -> Self {
        Self {
            calls: (0..methods * CODES.len()).map(|_| AtomicU64::new(0)).collect(),
            durations: Histogram::default(),
        }
    }

    pub fn record(&self, method: usize, code: usize, took: Duration) {
        self.calls[method * CODES.len() + code].fetch_add(1, Ordering::Relaxed);
        self.durations.record(took);
    }

    /// Writes the counters that are not zero.
    pub fn render_calls(&self, name: &str, methods: &[String], tenant: &str, text: &mut String) {
        for (method, counts) in methods.iter().zip(self.calls.chunks(CODES.len())) {
            for (code, count) in CODES.iter().zip(counts) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    writeln!(
                        text,
                        "{name}{{method=\"{method}\",code=\"{code}\",tenant=\"{tenant}\"}} {count}"
                    )
                    .expect("a string takes it");
                }
            }
        }
    }

    /// Writes the durations.
    pub fn render_durations(&self, name: &str, tenant: &str, text: &mut String) {
        self.durations.render(name, &format!("tenant=\"{tenant}\""), text);
    }
}
