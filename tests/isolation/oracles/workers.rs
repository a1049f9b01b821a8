//! Workers: what is done for one tenant in the background leaves every other alone, also when both have the same due.
use std::sync::Arc;

use anyhow::ensure;
use onekeel_store::{DbResult, Store, StoreConfig, TenantTx};
use onekeel_tenancy::Tenant;
use onekeel_tests::{World, contract};

use crate::rows::digest;
use crate::things::Things;

/// The server that does it, what makes rows of two tenants due, and the work.
const WORK: [(&str, &str, &str); 3] = [
    (
        "lead",
        "update lead.leads set purge_at = now() where client_id in ($1, $2) and purge_at is not null",
        "select lead.purge($1, 500)",
    ),
    (
        "campaign",
        "update campaign.campaigns set purge_at = now() where client_id in ($1, $2) and purge_at is not null",
        "select campaign.purge($1, 500)",
    ),
    (
        "tenant",
        "update tenant.api_keys set revoked_at = now() - interval '2 days' where client_id in ($1, $2)",
        "select tenant.prune_api_keys($1, 500)",
    ),
];

#[expect(clippy::disallowed_methods, reason = "background work is tried without its round")]
pub async fn work_for_one_tenant_leaves_another_alone(world: Arc<World>) -> anyhow::Result<()> {
    let methods = Arc::new(contract()?);
    let mut a = Things::of_new_tenant(&world, &methods).await?;
    let mut b = Things::of_new_tenant(&world, &methods).await?;
    for tenant in [&mut a, &mut b] {
        tenant.renew().await?;
    }
    for (service, make_due, statement) in WORK {
        sqlx::query(make_due)
            .bind(a.client.uuid())
            .bind(b.client.uuid())
            .execute(&world.behind)
            .await?;
        let store = Store::connect(StoreConfig {
            url: world.stack.database.url_for(service)?,
            max_connections: 1,
            application: "workers".to_owned(),
            cache: None,
        });
        let store = store.await?;
        let before = [digest(&world, a.client).await?, digest(&world, b.client).await?];
        let tenant = Tenant::for_background(a.client, "test");
        // First as work for A that names B, which may not reach it, then as it should be.
        for named in [b.client, a.client] {
            let work = async |tx: &mut TenantTx| {
                let done = sqlx::query_scalar::<_, i64>(statement).bind(named.uuid());
                done.fetch_one(tx.conn()).await.db()
            };
            let done = store.run(&tenant, "work", work).await;
            let now = [digest(&world, a.client).await?, digest(&world, b.client).await?];
            ensure!(
                now[1] == before[1],
                "{statement} for A changed rows of B, naming {named}: {done:?}"
            );
            let worked = named == a.client;
            ensure!(
                (now[0] != before[0]) == worked,
                "{statement} for A, naming {named}: {done:?}"
            );
        }
    }
    Ok(())
}
