//! Deletes keys a day after their end, and secrets an hour after theirs.
use onekeel_api::Fault;
use onekeel_server::{Batch, Chore, Parts};
use onekeel_store::{Directory, Store, TenantTx};
use onekeel_tenancy::Tenant;

use super::repo;

/// Keys, and secrets, that one transaction deletes; no tenant has more.
const MOST: i64 = 500;

/// Name of this work in metrics.
pub(crate) const TASK: &str = "tenant.prune_api_keys";

/// Makes room for new keys; runs for as long as the server.
pub(crate) async fn prune_keys(parts: Parts) {
    let chore = Chore {
        store: parts.store,
        task: TASK,
        directory: |after| Directory::All { after },
    };
    chore.run(prune).await;
}

async fn prune(store: Store, tenant: Tenant) -> Result<Batch, Fault> {
    let prune = async |tx: &mut TenantTx| repo::prune(tx, MOST).await;
    let rows = store.run(&tenant, "prune_api_keys", prune).await?;
    Ok(Batch { rows, most: MOST })
}
