//! Listens to what Redis tells of changed keys, and forgets everything near whenever something may have been missed. What
//! Redis tells comes on the connection of all questions, in its order: an answer shows that nothing was missed until then.
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use fred::prelude::*;
use fred::types::client::Invalidation;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::near::Near;

const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How often Redis is asked whether it is there; several times within the time in which it is believed.
const BEAT: Duration = Duration::from_millis(400);
/// How long the mark lasts of a process that is gone.
const MARK_TTL: i64 = 60_000;

/// Runs until the cache is gone.
pub(crate) async fn listen(redis: Client, near: Weak<Near>) {
    // From the start, so that no break is missed between two rounds.
    let mut changes = redis.invalidation_rx();
    let mut errors = redis.error_rx();
    let mut reconnects = redis.reconnect_rx();
    let mut silences = redis.unresponsive_rx();
    let mark = format!("onekeel:listener:{}", Uuid::new_v4());
    while near.strong_count() > 0 {
        if !begin(&redis, &mark, &near).await {
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        tokio::select! {
            () = follow(&mut changes, &near) => {}
            () = beat(&redis, &mark, &near) => {}
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

/// Redis tells from now on, and the mark is set before anything is kept: it goes with whatever is flushed.
async fn begin(redis: &Client, mark: &str, near: &Weak<Near>) -> bool {
    let connected = tokio::time::timeout(Duration::from_secs(1), redis.wait_for_connect()).await;
    if !matches!(connected, Ok(Ok(())))
        || redis.start_tracking((), false, false, false, false).await.is_err()
        || !matches!(set(redis, mark, None).await, Ok(Some(_)))
    {
        return false;
    }
    near.upgrade().is_some_and(|near| {
        near.listen();
        true
    })
}

async fn set(redis: &Client, mark: &str, options: Option<SetOptions>) -> Result<Option<String>, Error> {
    let expires = Some(Expiration::PX(MARK_TTL));
    redis.set(mark, "", expires, options, false).await
}

/// Until the mark is gone that it keeps in Redis: somebody flushed it, which Redis tells in words that are not understood.
async fn beat(redis: &Client, mark: &str, near: &Weak<Near>) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let asked = Instant::now();
        let set = set(redis, mark, Some(SetOptions::XX)).await;
        let Some(near) = near.upgrade() else { return };
        match set {
            Ok(Some(_)) => near.heard(asked),
            Ok(None) => return,
            // Nothing is heard; what is near is not believed for long.
            Err(_) => {}
        }
    }
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
