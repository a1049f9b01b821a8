//! Listens to what Redis tells of changed keys, and forgets everything near whenever something may have been missed.
use std::sync::{Arc, Weak};
use std::time::Duration;

use fred::prelude::*;
use fred::types::client::Invalidation;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::near::Near;

const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Runs until the cache is gone.
pub(crate) async fn listen(redis: Client, near: Weak<Near>) {
    // From the start, so that no break is missed between two rounds.
    let mut changes = redis.invalidation_rx();
    let mut errors = redis.error_rx();
    let mut reconnects = redis.reconnect_rx();
    let mut silences = redis.unresponsive_rx();
    while near.strong_count() > 0 {
        if !begin(&redis, &near).await {
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        tokio::select! {
            () = follow(&mut changes, &near) => {}
            _ = errors.recv() => {}
            _ = reconnects.recv() => {}
            _ = silences.recv() => {}
        }
        metrics::counter!("onekeel_cache_breaks_total").increment(1);
        if let Some(near) = near.upgrade() {
            near.forget_all();
        }
    }
}

async fn begin(redis: &Client, near: &Weak<Near>) -> bool {
    let connected = tokio::time::timeout(Duration::from_secs(1), redis.wait_for_connect()).await;
    if !matches!(connected, Ok(Ok(()))) || redis.start_tracking((), false, false, false, false).await.is_err() {
        return false;
    }
    near.upgrade().is_some_and(|near| {
        near.listen();
        true
    })
}

async fn follow(changes: &mut Receiver<Invalidation>, near: &Weak<Near>) {
    loop {
        let change = changes.recv().await;
        let Some(near): Option<Arc<Near>> = near.upgrade() else {
            return;
        };
        match change {
            Ok(change) if !change.keys.is_empty() => {
                for key in change.keys.iter().filter_map(Key::as_str) {
                    near.changed(key);
                }
            }
            // Nobody knows which.
            Ok(_) | Err(RecvError::Lagged(_)) => near.listen(),
            Err(RecvError::Closed) => return,
        }
    }
}
