//! The end of a server, announced: whoever would outlast it ends by itself.
use tokio::sync::watch;

/// Held by the bootstrap while calls are taken; dropping it begins the drain.
pub(crate) struct TakesCalls {
    _sender: watch::Sender<()>,
}

/// Says when a server takes no more calls. Listeners stop then, and so must streams that have no end of their own: the
/// drain waits for them, and cuts off what is left.
#[derive(Clone)]
pub struct Draining(watch::Receiver<()>);

impl Draining {
    /// Both ends.
    pub(crate) fn new() -> (TakesCalls, Self) {
        let (sender, receiver) = watch::channel(());
        (TakesCalls { _sender: sender }, Self(receiver))
    }

    /// Returns when the drain has begun. Cancel-safe.
    pub async fn begun(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
