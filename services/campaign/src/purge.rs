//! Removes for good the campaigns and agents that were deleted long enough ago.
use onekeel_api::Fault;
use onekeel_server::{Batch, Chore, Parts};
use onekeel_store::{DbResult, Directory, Store, TenantTx};
use onekeel_tenancy::Tenant;

/// Rows that one transaction deletes.
const MOST: i64 = 500;

/// Name of this work in metrics.
pub(crate) const TASK: &str = "campaign.purge";

/// Runs for as long as the server.
pub(crate) async fn purge_deleted(parts: Parts) {
    let chore = Chore {
        store: parts.store,
        task: TASK,
        directory: |after| Directory::All { after },
    };
    chore.run(purge).await;
}

async fn purge(store: Store, tenant: Tenant) -> Result<Batch, Fault> {
    let purge = async |tx: &mut TenantTx| {
        let client = tx.client_id();
        let purged = sqlx::query_scalar!(r#"select campaign.purge($1, $2) as "purged!""#, client, MOST);
        purged.fetch_one(tx.conn()).await.db()
    };
    let rows = store.run(&tenant, "purge", purge).await?;
    Ok(Batch { rows, most: MOST })
}
