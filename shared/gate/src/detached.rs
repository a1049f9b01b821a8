//! Work that goes on when the call that began it is dropped: what it fetched serves the next call.
use onekeel_api::{Carried, Fault};
use tracing::{Instrument, Span};

/// Runs `work` in a task of its own, within the present call, its deadline and its span.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    tokio::spawn(Carried::current().scope(work).instrument(Span::current()))
        .await
        .map_err(Fault::internal)?
}
