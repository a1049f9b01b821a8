//! The call that runs now: its place in a trace, where it came from, its tenant, and how it failed. Logs, spans, metrics
//! and the audit trail read it.
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use http::HeaderValue;

use crate::trace::TraceContext;
use crate::{ClientId, ErrorReason, Origin, Policy};

tokio::task_local! {
    static CURRENT: Arc<Call>;
}

/// What is known of a call while it runs. The outermost layer makes it; those inside add what they learn.
#[derive(Debug)]
pub struct Call {
    began: Instant,
    context: TraceContext,
    state: Option<Box<str>>,
    origin: Origin,
    policy: Option<Arc<Policy>>,
    tenant: OnceLock<ClientId>,
    plan: OnceLock<Arc<str>>,
    rate_limit: Mutex<Option<RateLimit>>,
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
            began: Instant::now(),
            context,
            state,
            origin: Origin::default(),
            policy: None,
            tenant: OnceLock::new(),
            plan: OnceLock::new(),
            rate_limit: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// The same call, known to come from there.
    #[must_use]
    pub fn from_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same call, of a method that declares this about itself.
    #[must_use]
    pub fn under_policy(mut self, policy: Option<Arc<Policy>>) -> Self {
        self.policy = policy;
        self
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

    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// When the present call began; now, outside of one. What is decided before a call waits for anything takes this for
    /// the present, as a look at the clock for each decision would be a fiftieth of a short call.
    pub fn beginning() -> Instant {
        Self::with_current(Self::began).unwrap_or_else(Instant::now)
    }

    /// Its place in its trace.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// The caller's `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Where it comes from, as far as that is known.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What its method declares about itself; `None` where the contract has no such method.
    pub fn policy(&self) -> Option<&Arc<Policy>> {
        self.policy.as_ref()
    }

    /// The policy of the present call; `None` outside of one as well.
    pub fn current_policy() -> Option<Arc<Policy>> {
        Self::with_current(|call| call.policy.clone()).flatten()
    }

    /// The tenant that a verified token or a support operator named.
    pub fn tenant(&self) -> Option<ClientId> {
        self.tenant.get().copied()
    }

    /// Notes the tenant of a verified caller; the first one stays.
    pub fn note_tenant(&self, tenant: ClientId) {
        self.tenant.get_or_init(|| tenant);
    }

    /// The tenant's plan, once it is known.
    pub fn plan(&self) -> Option<&str> {
        self.plan.get().map(AsRef::as_ref)
    }

    /// Notes the tenant's plan; the first one stays.
    pub fn note_plan(&self, plan: &Arc<str>) {
        self.plan.get_or_init(|| plan.clone());
    }

    /// What is known of the tenant's limit of requests, for the one who tells it.
    pub fn take_rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit().take()
    }

    /// Notes what is known of the tenant's limit of requests; the first one stays.
    pub fn note_rate_limit(&self, limit: RateLimit) {
        self.rate_limit().get_or_insert(limit);
    }

    fn rate_limit(&self) -> MutexGuard<'_, Option<RateLimit>> {
        self.rate_limit.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub fn scope<F: Future>(self: Arc<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self, work)
    }

    /// Runs `step`, which does not wait, as a part of this call.
    pub fn sync_scope<T>(self: &Arc<Self>, step: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), step)
    }
}
