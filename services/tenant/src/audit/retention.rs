//! Deletes events that have been kept for long enough.
use chrono::{TimeDelta, Utc};
use onekeel_api::Fault;
use onekeel_server::{Batch, Chore, Parts};
use onekeel_store::{Directory, Store, TenantTx};
use onekeel_tenancy::Tenant;

use super::repo;

/// Events that one transaction deletes.
const MOST: i32 = 1000;

/// Name of this work in metrics.
pub(crate) const TASK: &str = "tenant.prune_audit";

/// Keeps the trails from growing for ever; runs for as long as the server.
pub(crate) async fn prune_trails(parts: Parts) {
    let kept = TimeDelta::days(parts.audit_retention_days.into());
    let chore = Chore {
        store: parts.store,
        task: TASK,
        directory: |after| Directory::Trails { after },
    };
    chore.run(|store, tenant| prune(store, tenant, kept)).await;
}

async fn prune(store: Store, tenant: Tenant, kept: TimeDelta) -> Result<Batch, Fault> {
    let before = Utc::now() - kept;
    let prune = async |tx: &mut TenantTx| repo::prune(tx, before, MOST).await;
    let rows = store.run(&tenant, "prune_audit", prune).await?;
    let most = MOST.into();
    Ok(Batch { rows, most })
}
