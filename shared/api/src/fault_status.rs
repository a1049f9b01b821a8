//! A fault on the wire: `google.rpc` details out, and back in from another service's answer.
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::call::Failure;
use crate::{Call, ERROR_DOMAIN, ErrorReason, Fault};

const PREFIX: &str = "ERROR_REASON_";

impl ErrorReason {
    /// Its name as callers see it, for example `NOT_FOUND`.
    pub fn name(self) -> &'static str {
        self.as_str_name().trim_start_matches(PREFIX)
    }
}

impl From<Fault> for Status {
    /// The only place where a fault leaves the process: the cause stays. The present call notes it, and whoever ends
    /// the call logs it, once; without a call it is logged here.
    fn from(fault: Fault) -> Self {
        let code = fault.code();
        let mut inner = fault.inner;
        let call = Call::current();
        let (reason, cause) = (inner.reason, inner.cause.take());
        match (&call, cause) {
            (Some(call), cause) => call.note_failure(Failure { reason, cause }),
            (None, Some(cause)) => {
                tracing::warn!(error.reason = reason.name(), error.cause = %cause, "work without a call failed");
            }
            (None, None) => {}
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(
            reason.name(),
            ERROR_DOMAIN,
            inner.facts.into_iter().collect::<std::collections::HashMap<_, _>>(),
        );
        for (field, description) in inner.violations {
            details.add_bad_request_violation(field, description);
        }
        for (subject, description) in inner.preconditions {
            details.add_precondition_failure_violation(reason.name(), subject, description);
        }
        if let Some(kind) = inner.resource {
            details.set_resource_info(kind, "", "", "exists already");
        }
        if let Some((subject, description)) = inner.quota {
            details.add_quota_failure_violation(subject, description);
        }
        if let Some(after) = inner.retry_after {
            details.set_retry_info(Some(after));
        }
        if let Some(call) = call {
            details.set_request_info(call.context().trace_id.to_string(), "");
        }
        Status::with_error_details(code, inner.message, details)
    }
}

impl Fault {
    /// Reads another service's answer back; one without our `ErrorInfo` keeps only what its code tells.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let known = details
            .error_info()
            .filter(|info| info.domain == ERROR_DOMAIN)
            .and_then(|info| Some((ErrorReason::from_str_name(&format!("{PREFIX}{}", info.reason))?, info)));
        let Some((reason, info)) = known else {
            return Self::from_code(status);
        };
        let mut fault = Self::new(reason, status.message());
        let mut facts: Vec<_> = info.metadata.iter().collect();
        facts.sort();
        for (key, value) in facts {
            fault = fault.fact(key, value);
        }
        for violation in details.bad_request().map_or(&[][..], |bad| &bad.field_violations) {
            fault = fault.violation(&violation.field, &violation.description);
        }
        for violation in details
            .precondition_failure()
            .map_or(&[][..], |failed| &failed.violations)
        {
            fault = fault.precondition(&violation.subject, &violation.description);
        }
        fault.inner.resource = details.resource_info().map(|info| info.resource_type.clone());
        if let Some(violation) = details.quota_failure().and_then(|quota| quota.violations.first()) {
            fault = fault.quota_violation(&violation.subject, &violation.description);
        }
        if let Some(after) = details.retry_info().and_then(|retry| retry.retry_delay) {
            fault = fault.retry_after(after);
        }
        fault
    }

    fn from_code(status: &Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::Cancelled | Code::Unknown => {
                Self::unavailable("a service of the suite is not reachable")
                    .cause(status)
                    .retry_after(Duration::from_secs(1))
            }
            Code::DeadlineExceeded => Self::deadline_exceeded().cause(status),
            _ => Self::internal(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_the_wire_without_its_cause() {
        let fault = Fault::new(ErrorReason::QuotaExceeded, "the plan's limit of leads is reached")
            .fact("resource", "leads")
            .precondition("leads", "1000 of 1000")
            .quota_violation("leads", "1000 of 1000")
            .retry_after(Duration::from_secs(3))
            .cause("SELECT secret");
        let status = Status::from(fault);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(!format!("{status:?}").contains("secret"));
        let back = Fault::from_status(&status);
        assert_eq!(back.reason(), ErrorReason::QuotaExceeded);
        assert_eq!(back.fact_value("resource"), Some("leads"));
        assert_eq!(back.inner.preconditions.len(), 1);
        assert_eq!(back.retry_delay(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_foreign_status_keeps_only_its_code() {
        assert_eq!(
            Fault::from_status(&Status::unavailable("tcp")).reason(),
            ErrorReason::Unavailable
        );
        assert_eq!(
            Fault::from_status(&Status::data_loss("x")).reason(),
            ErrorReason::Internal
        );
    }
}
