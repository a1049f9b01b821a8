//! Span ids that are known before their span: logs, errors and further calls name them whether a span exists or not.
use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Starts one span, with these ids, in `start`.
pub(crate) fn with<T>(trace_id: u128, span_id: u64, start: impl FnOnce() -> T) -> T {
    NEXT.set(Some((TraceId::from(trace_id), SpanId::from(span_id))));
    let started = start();
    NEXT.set(None);
    started
}

/// Gives the ids that were set for the next span, and random ones otherwise.
#[derive(Debug, Default)]
pub(crate) struct ChosenIds(RandomIdGenerator);

impl IdGenerator for ChosenIds {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get()
            .map_or_else(|| self.0.new_trace_id(), |(trace_id, _)| trace_id)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span_id)| span_id)
    }
}
