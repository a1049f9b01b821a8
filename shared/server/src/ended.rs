//! The end of a call, reported once: to its metrics, to its span, and, when it failed, in one line of the log.
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use onekeel_api::Call;
use onekeel_telemetry::{Ended, Method, code_name, is_fault_of_server, record_end};
use tonic::Code;
use tracing::Span;

use crate::contract::STATUS;
use crate::watch::{Watch, place};

/// A call that has not ended yet. Dropped before it was answered, its caller has gone away.
pub(crate) struct Ending {
    watch: Arc<Watch>,
    method: Method,
    call: Arc<Call>,
    parent: Option<u64>,
    span: Span,
    answered: bool,
}

impl Ending {
    pub fn new(watch: Arc<Watch>, method: Method, call: Arc<Call>, parent: Option<u64>, span: Span) -> Self {
        watch.running.increment(1.0);
        Self {
            watch,
            method,
            call,
            parent,
            span,
            answered: false,
        }
    }

    /// Failures stand in the head of an answer; a call whose stream fails later counts as answered.
    pub fn answered(mut self, head: &HeaderMap) {
        self.answered = true;
        let code = head.get(STATUS).map_or(&b"0"[..], |value| value.as_bytes());
        self.report(Code::from_bytes(code));
    }

    fn report(&self, code: Code) {
        let took = self.call.began().elapsed();
        let tenant = self.call.tenant().map(onekeel_api::ClientId::uuid);
        self.watch.telemetry.calls.record(self.method, code, tenant, took);
        if let (Some(tenant), false) = (tenant, self.span.is_none()) {
            self.span.record("tenant.id", tracing::field::display(tenant));
        }
        if code == Code::Ok {
            record_end(&self.span, code, None, false);
            return;
        }
        let failure = self.call.take_failure();
        let reason = failure.as_ref().map(|failure| failure.reason.name());
        let ended = Ended {
            method: self.watch.telemetry.calls.name(self.method).unwrap_or("_OTHER"),
            code,
            reason,
            tenant,
            took,
        };
        if self.span.is_none() {
            if let Some(traces) = &self.watch.telemetry.traces {
                traces.record_late(&place(&self.call, self.parent), &ended);
            }
        } else {
            record_end(&self.span, code, reason, is_fault_of_server(code));
        }
        let cause = failure.as_ref().and_then(|failure| failure.cause.as_deref());
        self.log(&ended, cause);
    }

    fn log(&self, ended: &Ended<'_>, cause: Option<&str>) {
        let (method, code, took) = (ended.method, code_name(ended.code), milliseconds(ended.took));
        let reason = ended.reason.unwrap_or(code);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    rpc.method = method,
                    rpc.response.status_code = code,
                    error.reason = reason,
                    error.cause = cause,
                    duration_ms = took,
                    "call failed"
                )
            };
        }
        if matches!(ended.code, Code::Internal | Code::Unknown | Code::DataLoss) {
            line!(error);
        } else if is_fault_of_server(ended.code) {
            line!(warn);
        } else if self.watch.lines.may_add() {
            line!(info);
        } else {
            metrics::counter!("onekeel_log_lines_left_out_total").increment(1);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.watch.running.decrement(1.0);
        if !self.answered {
            self.report(Code::Cancelled);
        }
    }
}

fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}
