//! gRPC's codes by the names that its specification gives them.
use tonic::Code;

/// All codes, each at its number.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The place of a code in [`CODES`].
pub(crate) fn number(code: Code) -> usize {
    usize::try_from(code as i32).unwrap_or_default().min(CODES.len() - 1)
}

/// For example `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    CODES[number(code)]
}

/// Whether a server, and not its caller, is to blame; by the conventions for RPC such a span is an error.
pub fn is_fault_of_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::Unavailable | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        for (number, name) in CODES.iter().enumerate() {
            let code = Code::from_i32(i32::try_from(number).expect("seventeen codes"));
            assert_eq!(code_name(code), *name);
            let letters = |text: &str| text.replace('_', "").to_lowercase();
            assert_eq!(letters(&format!("{code:?}")), letters(name));
        }
    }
}
