//! Connections are shared by tenants; nothing of one may stay for the next.
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_store::{DbResult, Single, Store, StoreConfig, TenantTx};
use onekeel_tenancy::Tenant;
use onekeel_tests::World;

const LONGEST_CLOSE: Duration = Duration::from_secs(10);
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

/// A store with one connection, by the lead server's login.
async fn with_one_connection(world: &World) -> anyhow::Result<Store> {
    let config = StoreConfig {
        url: world.stack.database.url_for("lead")?,
        max_connections: 1,
        application: "pool of one".to_owned(),
        cache: None,
    };
    Ok(Store::connect(config).await?)
}

/// The tenant that the connection has outside of a transaction.
async fn bare(store: &Store) -> Result<Option<String>, onekeel_api::Fault> {
    let look = async |single: &mut Single| {
        sqlx::query_scalar("select nullif(current_setting('app.current_client_id', true), '')")
            .fetch_one(single.conn())
            .await
    };
    store.catalogue("look", look).await
}

/// What ended well is there at once, what failed comes back clean, and neither a store that is closed nor one that is dropped
/// where no task can run is held up by it.
#[expect(clippy::disallowed_methods, reason = "the store is tested below the verifier")]
pub async fn a_connection_goes_from_call_to_call(world: Arc<World>) -> anyhow::Result<()> {
    let tenant = Tenant::for_background(onekeel_api::ClientId::new_v7(), "test");
    let store = with_one_connection(&world).await?;
    store.ping().await?;
    ensure!(
        store.pool_size() == (1, 1, 1),
        "{:?} after a statement",
        store.pool_size()
    );
    store
        .run(&tenant, "look", async |tx: &mut TenantTx| look(tx).await)
        .await?;
    ensure!(
        store.pool_size() == (1, 1, 1),
        "{:?} after a transaction",
        store.pool_size()
    );
    for _ in 0..10 {
        let failed = store
            .run(&tenant, "fails", async |tx: &mut TenantTx| {
                sqlx::query("select 1 / 0").execute(tx.conn()).await.db()
            })
            .await;
        ensure!(failed.is_err(), "one divided by nothing");
        let failed = store
            .one(&tenant, "fails", async |single: &mut Single| {
                sqlx::query("select set_config('app.current_client_id', $1, true), 1 / 0")
                    .bind(single.client_id().to_string())
                    .execute(single.conn())
                    .await
            })
            .await;
        ensure!(failed.is_err(), "one divided by nothing");
        let stayed = bare(&store).await?;
        ensure!(
            stayed.is_none(),
            "tenant {stayed:?} stayed after a statement that failed"
        );
    }
    tokio::time::timeout(LONGEST_CLOSE, store.close())
        .await
        .context("a store waits for connections that nobody uses")?;
    ensure!(store.ping().await.is_err(), "a closed store answers");

    let store = with_one_connection(&world).await?;
    store.ping().await?;
    let dropped = std::thread::spawn(move || drop(store)).join();
    ensure!(dropped.is_ok(), "a store dropped outside of the runtime panics");
    Ok(())
}

/// Drops calls of two tenants at every moment of a transaction, on one connection, and looks after each.
#[expect(clippy::disallowed_methods, reason = "the store is tested below the verifier")]
pub async fn a_pool_of_one_never_carries_a_tenant_over(world: Arc<World>) -> anyhow::Result<()> {
    let store = with_one_connection(&world).await?;
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
            let bare = bare(&store).await?;
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
