//! Work that goes on when the call that began it is dropped: what it fetched serves the next call.
use onekeel_api::{Deadline, Fault, trace};

/// Runs `work` in a task of its own, within the present call's trace and deadline.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    let (trace, deadline) = (trace::current(), Deadline::current());
    let bounded = async move {
        match deadline {
            Some(deadline) => deadline.scope(work).await,
            None => work.await,
        }
    };
    let traced = async move {
        match trace {
            Some(context) => trace::scope(context, bounded).await,
            None => bounded.await,
        }
    };
    tokio::spawn(traced).await.map_err(Fault::internal)?
}
