//! The call that runs now: its place in a trace, its tenant, and how it failed. Logs, spans and metrics read it.
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::HeaderValue;

use crate::trace::TraceContext;
use crate::{ClientId, ErrorReason};

tokio::task_local! {
    static CURRENT: Arc<Call>;
}

/// What is known of a call while it runs. The outermost layer makes it; those inside add what they learn.
#[derive(Debug)]
pub struct Call {
    context: TraceContext,
    state: Option<Box<str>>,
    tenant: OnceLock<ClientId>,
    rate_limit: OnceLock<RateLimit>,
    failure: Mutex<Option<Failure>>,
}

/// What the answer says of the tenant's limit of requests, whatever the answer is.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// `ratelimit-policy`: how many in which time.
    pub policy: HeaderValue,
    /// `ratelimit`: how many are left; absent while nothing is counted.
    pub state: Option<HeaderValue>,
}

/// Why a call failed, as its own process knows it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the caller was told.
    pub reason: ErrorReason,
    /// What the caller was not told.
    pub cause: Option<String>,
}

impl Call {
    /// A call at this place of its trace; `state` is the caller's `tracestate`, passed on as it came.
    pub fn new(context: TraceContext, state: Option<Box<str>>) -> Self {
        Self {
            context,
            state,
            tenant: OnceLock::new(),
            rate_limit: OnceLock::new(),
            failure: Mutex::default(),
        }
    }

    /// The call that runs now; `None` in background work.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Reads the present call without holding on to it.
    pub fn with_current<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(|call| read(call)).ok()
    }

    /// Whether spans of the present call are recorded; never in background work. Ask before making a span: that is
    /// the expensive part.
    pub fn is_recorded() -> bool {
        Self::with_current(|call| call.context.sampled).unwrap_or(false)
    }

    /// Its place in its trace.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// The caller's `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The tenant that a verified token named.
    pub fn tenant(&self) -> Option<ClientId> {
        self.tenant.get().copied()
    }

    /// Notes the tenant of a verified caller; the first one stays.
    pub fn note_tenant(&self, tenant: ClientId) {
        self.tenant.get_or_init(|| tenant);
    }

    /// What is known of the tenant's limit of requests.
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.rate_limit.get()
    }

    /// Notes what is known of the tenant's limit of requests; the first one stays.
    pub fn note_rate_limit(&self, limit: RateLimit) {
        self.rate_limit.get_or_init(|| limit);
    }

    /// Notes why the call fails; the last one counts.
    pub fn note_failure(&self, failure: Failure) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    /// Why it failed, for the one who reports it.
    pub fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs `work` as a part of this call.
    pub async fn scope<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}
