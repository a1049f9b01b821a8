//! The one error: a reason to switch on, a sentence to read, a cause that stays in the logs.
use std::fmt;
use std::time::Duration;

use crate::ErrorReason;
use tonic::Code;

/// Why a call failed. Becomes a `tonic::Status` with `google.rpc` details when it leaves the process.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(crate) inner: Box<Inner>,
}

#[derive(Debug, Clone)]
pub(crate) struct Inner {
    pub reason: ErrorReason,
    pub message: String,
    pub facts: Vec<(String, String)>,
    pub violations: Vec<(String, String)>,
    pub preconditions: Vec<(String, String)>,
    pub resource: Option<String>,
    pub quota: Option<(String, String)>,
    pub retry_after: Option<Duration>,
    pub cause: Option<String>,
    pub fenced: bool,
    pub commit_unknown: bool,
}

impl Fault {
    /// A failure with a reason and a sentence for people; neither may hold anything internal.
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        let inner = Inner {
            reason,
            message: message.into(),
            facts: Vec::new(),
            violations: Vec::new(),
            preconditions: Vec::new(),
            resource: None,
            quota: None,
            retry_after: None,
            cause: None,
            fenced: false,
            commit_unknown: false,
        };
        Self { inner: Box::new(inner) }
    }

    /// The one answer to every bad token.
    pub fn unauthenticated() -> Self {
        Self::new(ErrorReason::Unauthenticated, "a valid bearer token is required")
    }

    /// The caller may not do this.
    pub fn permission_denied() -> Self {
        Self::new(ErrorReason::PermissionDenied, "access denied")
    }

    /// The one answer to an absent and to a foreign id.
    pub fn not_found() -> Self {
        Self::new(ErrorReason::NotFound, "not found, or access denied")
    }

    /// Something unique exists already; `what` is its kind, for example `lead`.
    pub fn already_exists(what: &str) -> Self {
        let mut fault = Self::new(ErrorReason::AlreadyExists, format!("this {what} exists already"));
        fault.inner.resource = Some(what.to_owned());
        fault
    }

    /// The state of `subject` does not allow this; the message says what would.
    pub fn state_conflict(subject: &str, message: &str) -> Self {
        Self::new(ErrorReason::StateConflict, message).precondition(subject, message)
    }

    /// One field breaks a rule; more can follow with [`Fault::violation`].
    pub fn invalid(field: &str, description: &str) -> Self {
        Self::new(
            ErrorReason::InvalidArgument,
            "the request breaks a rule; see the field violations",
        )
        .violation(field, description)
    }

    /// A part is not reachable for the moment; the caller is told to try again in a second.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorReason::Unavailable, message).retry_after(Duration::from_secs(1))
    }

    /// The call took longer than its caller waits.
    pub fn deadline_exceeded() -> Self {
        Self::new(ErrorReason::DeadlineExceeded, "the call took longer than its deadline")
    }

    /// A fault of ours; `cause` is logged and never sent.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(ErrorReason::Internal, "internal error; the trace id finds its cause").cause(cause)
    }

    /// Adds a fact for programs to `ErrorInfo.metadata`.
    #[must_use]
    pub fn fact(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.inner.facts.push((key.to_owned(), value.to_string()));
        self
    }

    /// Adds a field that breaks a rule.
    #[must_use]
    pub fn violation(mut self, field: &str, description: &str) -> Self {
        self.inner.violations.push((field.to_owned(), description.to_owned()));
        self
    }

    /// Names something that must be otherwise before a retry can succeed.
    #[must_use]
    pub fn precondition(mut self, subject: &str, description: &str) -> Self {
        let failed = (subject.to_owned(), description.to_owned());
        self.inner.preconditions.push(failed);
        self
    }

    /// Says which limit refused.
    #[must_use]
    pub fn quota_violation(mut self, subject: &str, description: &str) -> Self {
        self.inner.quota = Some((subject.to_owned(), description.to_owned()));
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.inner.retry_after = Some(after);
        self
    }

    /// Keeps what went wrong inside for the log.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.inner.cause = Some(cause.to_string());
        self
    }

    /// Marks a charge on a lease that had ended: reserve again and try once more.
    #[must_use]
    pub fn fenced(mut self) -> Self {
        self.inner.fenced = true;
        self
    }

    /// Marks a COMMIT whose outcome nobody knows.
    #[must_use]
    pub fn commit_unknown(mut self) -> Self {
        self.inner.commit_unknown = true;
        self
    }

    /// Why.
    pub fn reason(&self) -> ErrorReason {
        self.inner.reason
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// When a retry makes sense, if at all.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Fields that break a rule, as `(field, description)`.
    pub fn violations(&self) -> &[(String, String)] {
        &self.inner.violations
    }

    /// The fact with this key.
    pub fn fact_value(&self, key: &str) -> Option<&str> {
        self.inner
            .facts
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a charge met a lease that had ended.
    pub fn is_fenced(&self) -> bool {
        self.inner.fenced
    }

    /// Whether the transaction may have been committed although it failed.
    pub fn is_commit_unknown(&self) -> bool {
        self.inner.commit_unknown
    }

    /// The gRPC code of the reason; the one table of codes.
    pub fn code(&self) -> Code {
        match self.inner.reason {
            ErrorReason::Unauthenticated => Code::Unauthenticated,
            ErrorReason::PermissionDenied
            | ErrorReason::TenantSuspended
            | ErrorReason::TenantReadOnly
            | ErrorReason::AddressNotAllowed
            | ErrorReason::TenantMismatch => Code::PermissionDenied,
            ErrorReason::InvalidArgument => Code::InvalidArgument,
            ErrorReason::NotFound => Code::NotFound,
            ErrorReason::AlreadyExists => Code::AlreadyExists,
            ErrorReason::QuotaExceeded | ErrorReason::RateLimited => Code::ResourceExhausted,
            ErrorReason::EtagMismatch | ErrorReason::Conflict => Code::Aborted,
            ErrorReason::StateConflict | ErrorReason::PlanBelowUsage => Code::FailedPrecondition,
            ErrorReason::Unavailable => Code::Unavailable,
            ErrorReason::DeadlineExceeded => Code::DeadlineExceeded,
            ErrorReason::Unimplemented => Code::Unimplemented,
            ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.inner.reason.as_str_name(), self.inner.message)
    }
}

impl std::error::Error for Fault {}
