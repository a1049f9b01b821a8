//! Keeps what is kept in Redis of tenants true, also where no server asks for changes.
use std::time::Duration;

use onekeel_gate::KeptContexts;
use onekeel_server::every;
use onekeel_store::{Feed, Store};

pub(crate) const TASK: &str = "tenant.kept";
const ROUND: Duration = Duration::from_millis(500);

/// Follows the changes for as long as it is polled.
pub(crate) async fn follow(store: Store, kept: KeptContexts) {
    let ask = async |cursor| Ok(store.changes(Feed::Contexts, cursor).await?.into());
    every(ROUND, TASK, || kept.follow(ask)).await;
}
