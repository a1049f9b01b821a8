//! Connections are shared by tenants; nothing of one may stay for the next.
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::ensure;
use onekeel_store::{DbResult, Store, StoreConfig, TenantTx};
use onekeel_tenancy::Tenant;
use onekeel_tests::World;

const STEP: Duration = Duration::from_micros(30);
const STEPS: u32 = 51;
const DROPS: u32 = 500;
/// A transaction is polled about half as many times.
const MOST_POLLS: u32 = 10;
const MOST_ROUNDS: u32 = 500;

/// Polls a call so many times and drops it then; says whether it has ended by itself.
async fn ends_within<F: Future>(polls: u32, call: F) -> bool {
    let (mut call, mut left) = (std::pin::pin!(call), polls);
    poll_fn(|context| {
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What the connection says about itself: the tenant's setting, and whether a transaction was left open.
async fn look(tx: &mut TenantTx) -> Result<String, onekeel_api::Fault> {
    let tenant = sqlx::query_scalar("select current_setting('app.current_client_id')");
    tenant.fetch_one(tx.conn()).await.db()
}

/// Drops calls of two tenants at every moment of a transaction, on one connection, and looks after each.
#[expect(clippy::disallowed_methods, reason = "the store is tested below the verifier")]
pub async fn a_pool_of_one_never_carries_a_tenant_over(world: Arc<World>) -> anyhow::Result<()> {
    let config = StoreConfig {
        url: world.stack.database.url_for("lead")?,
        max_connections: 1,
        application: "pool of one".to_owned(),
        cache: None,
    };
    let store = Store::connect(config).await?;
    let tenant = |id| Tenant::for_background(id, "test");
    let tenants = [
        tenant(onekeel_api::ClientId::new_v7()),
        tenant(onekeel_api::ClientId::new_v7()),
    ];
    let (mut dropped, mut finished) = (0_u32, 0_u32);
    for round in 0..MOST_ROUNDS {
        if dropped >= DROPS {
            break;
        }
        for step in 0..STEPS {
            let (first, second) = (&tenants[(round % 2) as usize], &tenants[((round + 1) % 2) as usize]);
            let call = store.run(first, "dropped", async |tx: &mut TenantTx| look(tx).await);
            // By time, as callers go away, and by awaits, which meets each of them however fast the machine is.
            let ended = if step % 2 == 0 {
                tokio::time::timeout(STEP * step, call).await.is_ok()
            } else {
                ends_within(1 + step / 2 % MOST_POLLS, call).await
            };
            if ended {
                finished += 1;
            } else {
                dropped += 1;
            }
            // Outside of a transaction no tenant is set: a forgotten one would count its rows here.
            let bare: Option<String> = store
                .catalogue("look", async |single: &mut onekeel_store::Single| {
                    sqlx::query_scalar("select nullif(current_setting('app.current_client_id', true), '')")
                        .fetch_one(single.conn())
                        .await
                })
                .await?;
            ensure!(bare.is_none(), "tenant {bare:?} stayed after {dropped} drops");
            let seen = store
                .run(second, "look", async |tx: &mut TenantTx| look(tx).await)
                .await?;
            ensure!(seen == second.id().to_string(), "{seen} instead of {}", second.id());
        }
    }
    ensure!(
        dropped >= DROPS && finished > 0,
        "{dropped} dropped and {finished} finished"
    );
    println!("{dropped} calls dropped, {finished} finished, no tenant carried over");
    store.close().await;
    Ok(())
}
