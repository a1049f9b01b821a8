//! Whether an answer keeps the contract.
use std::collections::HashSet;

use anyhow::ensure;
use onekeel_api::{ERROR_DOMAIN, ErrorReason, Fault};
use tonic::Status;
use tonic_types::{ErrorDetail, StatusExt};

/// The fault of a failed call; a success is an error of the test.
pub fn fault_of<T>(answer: Result<T, Status>) -> anyhow::Result<Fault> {
    match answer {
        Ok(_) => anyhow::bail!("the call succeeded"),
        Err(status) => Ok(Fault::from_status(&status)),
    }
}

/// Fails unless the call was refused for this reason, and as the contract says.
pub fn is<T>(answer: Result<T, Status>, reason: ErrorReason) -> anyhow::Result<Fault> {
    let Err(status) = answer else {
        anyhow::bail!("the call succeeded, and {} was expected", reason.as_str_name());
    };
    let fault = keeps_contract(&status)?;
    ensure!(
        fault.reason() == reason,
        "{fault} instead of {}: {status:?}",
        reason.as_str_name()
    );
    Ok(fault)
}

/// What only the inside of a process may know.
const INTERNAL: [&str; 8] = [
    "sqlstate",
    "select ",
    "insert ",
    "constraint",
    "relation ",
    "panicked",
    "src/",
    ".rs",
];

/// The fault of a refusal. Fails unless it has one reason of ours, the code of that reason, one trace id that leads to
/// the logs, each other detail once at most, and nothing of the inside.
pub fn keeps_contract(status: &Status) -> anyhow::Result<Fault> {
    let fault = Fault::from_status(status);
    ensure!(
        fault.code() == status.code(),
        "the code is not that of the reason: {status:?}"
    );
    let (mut reasons, mut traces, mut others) = (0, 0, Vec::new());
    for detail in status.get_error_details_vec() {
        match detail {
            ErrorDetail::ErrorInfo(info) => {
                let name = format!("ERROR_REASON_{}", info.reason);
                ensure!(
                    info.domain == ERROR_DOMAIN && ErrorReason::from_str_name(&name).is_some(),
                    "no reason of ours: {info:?}"
                );
                reasons += 1;
            }
            ErrorDetail::RequestInfo(info) => {
                let hex = info.request_id.bytes().all(|byte| byte.is_ascii_hexdigit());
                ensure!(info.request_id.len() == 32 && hex, "no trace id: {info:?}");
                traces += 1;
            }
            other => others.push(std::mem::discriminant(&other)),
        }
    }
    ensure!(
        (reasons, traces) == (1, 1),
        "{reasons} reasons and {traces} trace ids in {status:?}"
    );
    ensure!(
        others.iter().collect::<HashSet<_>>().len() == others.len(),
        "a detail twice in {status:?}"
    );
    let said = format!("{} {:?}", status.message(), status.get_error_details()).to_lowercase();
    for word in INTERNAL {
        ensure!(!said.contains(word), "{word:?} left the process: {said}");
    }
    Ok(fault)
}

/// Fails unless two refusals are the same to the last byte, but for the trace id.
pub fn same_refusal(one: &Status, other: &Status) -> anyhow::Result<()> {
    let plain = |status: &Status| {
        let mut details = status.get_error_details();
        details.set_request_info(String::new(), String::new());
        (
            status.code(),
            status.message().to_owned(),
            format!("{details:?}"),
            status.details().len(),
        )
    };
    ensure!(plain(one) == plain(other), "the refusals differ: {one:?} and {other:?}");
    Ok(())
}
