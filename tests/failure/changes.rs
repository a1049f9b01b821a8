//! What is told of changes: each of them, however transactions overlap.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use onekeel_api::ClientId;
use onekeel_tests::World;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// For transactions of other tests to end.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

struct Told {
    ids: Vec<Uuid>,
    next: i64,
    ahead: bool,
}

async fn look(pool: &PgPool, since: Option<i64>) -> anyhow::Result<Told> {
    let told = sqlx::query_as("select ids, next, ahead from tenant.changes_since($1, 1000)").bind(since);
    let (ids, next, ahead) = told.fetch_one(pool).await?;
    Ok(Told { ids, next, ahead })
}

async fn change(login: &mut PgConnection, client: ClientId) -> anyhow::Result<()> {
    let changed = sqlx::query("update tenant.clients set updated_by = 'a test' where client_id = $1");
    changed.bind(client.uuid()).execute(login).await?;
    Ok(())
}

/// From where on nothing is told of the tenant any more: what has changed is told again while a transaction from before it runs.
async fn beyond(pool: &PgPool, mut since: i64, tenant: ClientId) -> anyhow::Result<i64> {
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(50)));
    loop {
        let told = look(pool, Some(since)).await?;
        if !told.ids.contains(&tenant.uuid()) {
            return Ok(since);
        }
        ensure!(began.elapsed() < LONGEST_WAIT, "a transaction does not end");
        since = told.next;
        round.tick().await;
    }
}

/// Servers go on from where the answer before says, and remember everything that is not told.
#[expect(clippy::disallowed_methods, reason = "the order of commits is what is looked at")]
pub async fn a_change_that_overlaps_another_is_told_when_it_is_committed(world: Arc<World>) -> anyhow::Result<()> {
    let (slow, quick) = (world.member("basic").await?.id, world.member("basic").await?.id);
    let begun = look(&world.behind, None).await?;
    ensure!(begun.ids.is_empty() && !begun.ahead, "nothing but where to begin");
    let since = beyond(&world.behind, begun.next, slow).await?;
    let mut transaction = world.behind.begin().await?;
    change(&mut transaction, slow).await?;
    change(&mut *world.behind.acquire().await?, quick).await?;
    let first = look(&world.behind, Some(since)).await?;
    ensure!(first.ids.contains(&quick.uuid()), "it is committed");
    ensure!(!first.ids.contains(&slow.uuid()), "it is not committed yet");
    transaction.commit().await?;
    let second = look(&world.behind, Some(first.next)).await?;
    ensure!(
        second.ids.contains(&slow.uuid()),
        "it began before the look and was committed after it"
    );
    ensure!(
        look(&world.behind, Some(i64::MAX)).await?.ahead,
        "another database's cursor"
    );
    Ok(())
}
