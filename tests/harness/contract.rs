//! Whether an answer keeps the contract.
use anyhow::ensure;
use onekeel_api::{ErrorReason, Fault};
use tonic::Status;
use tonic_types::StatusExt;

/// The fault of a failed call; a success is an error of the test.
pub fn fault_of<T>(answer: Result<T, Status>) -> anyhow::Result<Fault> {
    match answer {
        Ok(_) => anyhow::bail!("the call succeeded"),
        Err(status) => Ok(Fault::from_status(&status)),
    }
}

/// Fails unless the call was refused for this reason, with a trace id that leads to the logs.
pub fn is<T>(answer: Result<T, Status>, reason: ErrorReason) -> anyhow::Result<Fault> {
    let Err(status) = answer else {
        anyhow::bail!("the call succeeded, and {} was expected", reason.as_str_name());
    };
    let fault = Fault::from_status(&status);
    ensure!(
        fault.reason() == reason,
        "{fault} instead of {}: {status:?}",
        reason.as_str_name()
    );
    let trace = status
        .get_details_request_info()
        .map(|info| info.request_id)
        .unwrap_or_default();
    ensure!(trace.len() == 32, "no trace id in {status:?}");
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
