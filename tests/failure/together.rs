//! Reserve calls that wait together: one transaction answers them, each as if it were alone.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::quota::{Lease, ReserveItem, ReserveRequest, Resource};
use onekeel_tests::World;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::caps::{hold, waiting};
use crate::holder::Holder;

const CALLS: u16 = 64;
/// Each call is a transaction of its own where nothing is shared; the first ones may be.
const MOST_TRANSACTIONS: usize = 8;
const LONGEST: Duration = Duration::from_secs(5);

pub type Call = JoinHandle<anyhow::Result<Vec<Lease>>>;

pub fn reserve(holder: &Holder, request: Uuid) -> Call {
    let item = |resource: Resource| ReserveItem {
        resource: resource.into(),
        min: 1,
        max: 1,
    };
    let wish = ReserveRequest {
        items: vec![item(Resource::Leads), item(Resource::Agents)],
        ttl: None,
        request_id: request.to_string(),
    };
    let (voice, client) = (holder.voice.clone(), holder.client);
    tokio::spawn(async move { Ok(voice.reserve(voice.request(client, wish)?).await?) })
}

pub fn ids(leases: &[Lease]) -> Vec<String> {
    leases.iter().map(|lease| lease.id.clone()).collect()
}

pub async fn wishes_that_wait_together_share_a_transaction(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let held = hold(&world, &member).await?;
    let requests: Vec<Uuid> = (0..CALLS).map(|_| Uuid::new_v4()).collect();
    let calls: Vec<Call> = requests.iter().map(|request| reserve(&holder, *request)).collect();
    waiting(&world, &held, 1).await?;
    // Answered on the same connection, so after the server has read the calls above.
    holder.release(Uuid::now_v7()).await?;
    held.commit().await?;
    let mut granted = BTreeSet::new();
    for call in calls {
        let leases = call.await??;
        let resources: Vec<_> = leases.iter().map(Lease::resource).collect();
        ensure!(resources == [Resource::Leads, Resource::Agents], "{resources:?}");
        granted.extend(ids(&leases));
    }
    ensure!(
        granted.len() == 2 * usize::from(CALLS),
        "{} leases, each its own",
        granted.len()
    );
    let transactions: i64 =
        sqlx::query_scalar("select count(distinct xmin::text) from quota.reservations where client_id = $1")
            .bind(member.id.uuid())
            .fetch_one(&world.behind)
            .await?;
    ensure!(
        usize::try_from(transactions)? <= MOST_TRANSACTIONS,
        "{CALLS} calls took {transactions} transactions"
    );
    let reserved: Vec<i64> =
        sqlx::query_scalar("select reserved from quota.usage where client_id = $1 and resource in ('leads', 'agents')")
            .bind(member.id.uuid())
            .fetch_all(&world.behind)
            .await?;
    ensure!(reserved == [i64::from(CALLS); 2], "reserved {reserved:?}");
    Ok(())
}

pub async fn a_repeated_wish_among_others_finds_its_leases(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let request = Uuid::new_v4();
    let first = ids(&reserve(&holder, request).await??);
    let held = hold(&world, &member).await?;
    let before = reserve(&holder, Uuid::new_v4());
    waiting(&world, &held, 1).await?;
    let (again, other) = (reserve(&holder, request), reserve(&holder, Uuid::new_v4()));
    holder.release(Uuid::now_v7()).await?;
    held.commit().await?;
    ensure!(ids(&again.await??) == first, "another lease for the same request id");
    let mut all: BTreeSet<String> = first.into_iter().collect();
    for call in [before, other] {
        all.extend(ids(&call.await??));
    }
    ensure!(all.len() == 6, "three wishes, two leases each: {all:?}");
    Ok(())
}

pub async fn what_a_dropped_wish_was_granted_is_free_at_once(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let held = hold(&world, &member).await?;
    let dropped = reserve(&holder, Uuid::new_v4());
    waiting(&world, &held, 1).await?;
    dropped.abort();
    dropped.await.err().context("the call was dropped")?;
    // Behind the drop on the same connection.
    holder.release(Uuid::now_v7()).await?;
    held.commit().await?;
    let kept = ids(&reserve(&holder, Uuid::new_v4()).await??);
    let deadline = tokio::time::Instant::now() + LONGEST;
    let mut round = tokio::time::interval(Duration::from_millis(10));
    loop {
        round.tick().await;
        let living: Vec<String> =
            sqlx::query_scalar("select id::text from quota.reservations where client_id = $1 order by resource desc")
                .bind(member.id.uuid())
                .fetch_all(&world.behind)
                .await?;
        if living == kept {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{living:?} live, {kept:?} are wanted"
        );
    }
}
