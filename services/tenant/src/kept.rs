//! Keeps what is kept in Redis of tenants true, also where no server asks for changes.
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use onekeel_api::Fault;
use onekeel_gate::KeptContexts;
use onekeel_server::every;
use onekeel_store::{Feed, Store};

pub(crate) const TASK: &str = "tenant.kept";
const ROUND: Duration = Duration::from_millis(500);

/// Drops what has changed, from the moment at which it is first polled on. What changes meanwhile changes through a server
/// that does the same.
pub(crate) async fn outdate(store: Store) {
    let (kept, cursor) = (KeptContexts::new(store.cache().clone()), AtomicI64::new(0));
    every(ROUND, TASK, || round(&store, &kept, &cursor)).await;
}

async fn round(store: &Store, kept: &KeptContexts, cursor: &AtomicI64) -> Result<(), Fault> {
    let since = Some(cursor.load(Ordering::Relaxed)).filter(|since| *since > 0);
    let changes = store.changes(Feed::Contexts, since).await?;
    kept.outdate(&changes.tenants).await;
    cursor.store(changes.next, Ordering::Relaxed);
    Ok(())
}
