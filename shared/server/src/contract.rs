//! The innermost layer: what tonic itself refuses, an unreadable message for example, gets the suite's one shape of error.
use http::{HeaderMap, HeaderName, Response};
use onekeel_api::{ErrorReason, Fault};
use tonic::{Code, Status};

/// How a call ended: in the head of a failure, in the trailers of an answer.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Only our own failures carry it.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// Tells a caller which compressions it may use.
const ENCODINGS: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The suite's error in the place of tonic's own.
pub(crate) fn translated<R: Default>(response: Response<R>) -> Response<R> {
    let Some(fault) = foreign(response.headers()) else {
        return response;
    };
    let mut refusal: Response<R> = Status::from(fault).into_http();
    if let Some(encodings) = response.headers().get(&ENCODINGS) {
        refusal.headers_mut().insert(ENCODINGS, encodings.clone());
    }
    refusal
}

/// The fault of a failure that is not ours.
fn foreign(headers: &HeaderMap) -> Option<Fault> {
    if headers.contains_key(DETAILS) {
        return None;
    }
    let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)?;
    let (reason, message) = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => (
            ErrorReason::InvalidArgument,
            "a message must be at most 4 MiB, counted before it is compressed",
        ),
        Code::Internal => (
            ErrorReason::InvalidArgument,
            "the message cannot be read as a request of this method",
        ),
        Code::Unimplemented => (
            ErrorReason::Unimplemented,
            "messages may be compressed by gzip or not at all",
        ),
        _ => return Some(Fault::from_status(&status)),
    };
    Some(Fault::new(reason, message).cause(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(status: Status) -> HeaderMap {
        status.into_http::<()>().headers().clone()
    }

    #[test]
    fn only_failures_that_are_not_ours_are_translated() {
        let reason = |status| foreign(&headers(status)).map(|fault| fault.reason());
        assert_eq!(foreign(&HeaderMap::new()).map(|fault| fault.reason()), None);
        assert_eq!(reason(Status::from(Fault::internal("a cause"))), None);
        assert_eq!(
            reason(Status::out_of_range("5 MiB")),
            Some(ErrorReason::InvalidArgument)
        );
        assert_eq!(
            reason(Status::internal("no message")),
            Some(ErrorReason::InvalidArgument)
        );
        assert_eq!(
            reason(Status::unimplemented("deflate")),
            Some(ErrorReason::Unimplemented)
        );
        assert_eq!(reason(Status::cancelled("gone")), Some(ErrorReason::Unavailable));
    }
}
