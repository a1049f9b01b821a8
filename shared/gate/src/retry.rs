//! Creations that were sent twice (AIP-155): a retry gets the first result.
use onekeel_api::{ErrorReason, Fault};
use uuid::Uuid;

/// What a creation came to, or what the same `request_id` created before. Any key of the row may tell of a retry, as the
/// first try's row has them all, and so may a full limit: the first try may have taken its last unit.
pub async fn or_first_result<T, F>(created: Result<T, Fault>, request_id: Option<Uuid>, find: F) -> Result<T, Fault>
where
    F: AsyncFnOnce(Uuid) -> Result<Option<T>, Fault>,
{
    let fault = match created {
        Ok(created) => return Ok(created),
        Err(fault) => fault,
    };
    let retried = matches!(fault.reason(), ErrorReason::QuotaExceeded | ErrorReason::AlreadyExists);
    match request_id.filter(|_| retried) {
        Some(request_id) => Box::pin(find(request_id)).await?.ok_or(fault),
        None => Err(fault),
    }
}
