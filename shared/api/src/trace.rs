//! The trace id of the call that runs now: callers get it with every error, logs carry it.
use std::fmt;

tokio::task_local! {
    static CURRENT: TraceId;
}

/// A W3C trace id: 16 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

/// The trace id of the call that runs now; `None` outside a call.
pub fn current() -> Option<TraceId> {
    CURRENT.try_with(|id| *id).ok()
}

/// Runs `work` as a part of the trace `id`.
pub async fn scope<F: Future>(id: TraceId, work: F) -> F::Output {
    CURRENT.scope(id, work).await
}

/// Runs `poll` as a part of the trace `id`; for layers that poll a future themselves.
pub fn sync_scope<R>(id: TraceId, work: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(id, work)
}
