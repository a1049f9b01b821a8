//! Work that goes on when the call that began it is dropped: what it fetched serves the next call.
use onekeel_api::{Call, Deadline, Fault};
use tracing::{Instrument, Span};

/// Runs `work` in a task of its own, within the present call, its deadline and its span.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    let (call, deadline) = (Call::current(), Deadline::current());
    let bounded = async move {
        match deadline {
            Some(deadline) => deadline.scope(work).await,
            None => work.await,
        }
    };
    let called = async move {
        match call {
            Some(call) => call.scope(bounded).await,
            None => bounded.await,
        }
    };
    tokio::spawn(called.instrument(Span::current()))
        .await
        .map_err(Fault::internal)?
}
