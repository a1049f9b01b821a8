//! One row, several calls at once: units are taken and given back exactly once.
use std::sync::Arc;

use anyhow::ensure;
use futures_util::future::join_all;
use onekeel_api::lead::{Lead, UndeleteLeadRequest};
use onekeel_api::{ErrorReason, Fault};
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, lead_named};
use tonic::Status;

/// Rows, each with a race of its own.
const RACES: usize = 40;
/// Calls of one race, in turn at both processes.
const CALLS: usize = 4;
/// What a resize writes, in characters; some grow the row, some shrink it.
const SIZES: [usize; CALLS] = [10, 100, 60, 90];

/// A new tenant's user at both processes.
async fn at_both(world: &World) -> anyhow::Result<[Member; 2]> {
    let id = world.member("enterprise").await?.id;
    world.limit(id, "requests_per_minute", 1_000_000).await?;
    let at = |replica| Member::new(&world.stack, id, Role::Admin, replica);
    Ok([at(0)?, at(1)?])
}

async fn undelete(member: &Member, id: &str) -> Result<(), Status> {
    let wish = UndeleteLeadRequest { id: id.to_owned() };
    member.leads().undelete_lead(member.request(wish)).await?;
    Ok(())
}

/// How many calls succeeded; fails when another was refused for anything but `reasons`.
fn winners<T>(answers: Vec<Result<T, Status>>, reasons: &[ErrorReason]) -> anyhow::Result<usize> {
    let calls = answers.len();
    let refused: Vec<Status> = answers.into_iter().filter_map(Result::err).collect();
    for status in &refused {
        ensure!(reasons.contains(&Fault::from_status(status).reason()), "{status:?}");
    }
    Ok(calls - refused.len())
}

/// Fails unless exactly `rows` leads live, and exactly they and their bytes are used.
async fn are_accounted_for(world: &World, member: &Member, rows: i64) -> anyhow::Result<()> {
    let used = world.settle(member.id).await?;
    let (living, stored, bytes): (i64, i64, i64) = sqlx::query_as(
        "select count(*), coalesce(sum(stored_bytes), 0)::bigint,
            (select used from quota.usage where client_id = $1 and resource = 'storage_bytes')
        from lead.leads where client_id = $1 and deleted_at is null",
    )
    .bind(member.id.uuid())
    .fetch_one(&world.behind)
    .await?;
    ensure!(
        (living, used) == (rows, rows),
        "{living} rows live, {used} are used, and {rows} are right"
    );
    ensure!(stored == bytes, "{stored} bytes are stored, {bytes} used");
    Ok(())
}

pub async fn deletions_and_returns_of_one_lead_count_once(world: Arc<World>) -> anyhow::Result<()> {
    let members = at_both(&world).await?;
    let member = |call: usize| &members[call % 2];
    for race in 0..RACES {
        let id = member(race).create(lead_named(&format!("lead{race}"))).await?.id;
        let deleted = join_all((0..CALLS).map(|call| member(call).delete(&id, ""))).await;
        let won = winners(deleted, &[ErrorReason::NotFound])?;
        ensure!(won == 1, "race {race}: {won} deletions of one lead succeeded");
        let returned = join_all((0..CALLS).map(|call| undelete(member(call), &id))).await;
        let won = winners(returned, &[ErrorReason::AlreadyExists])?;
        ensure!(won == 1, "race {race}: one lead came back {won} times");
    }
    are_accounted_for(&world, &members[0], i64::try_from(RACES)?).await
}

pub async fn a_lead_that_is_deleted_while_it_returns_is_counted_as_it_ends(world: Arc<World>) -> anyhow::Result<()> {
    let members = at_both(&world).await?;
    let mut living = 0;
    for race in 0..RACES {
        let id = members[0].create(lead_named(&format!("lead{race}"))).await?.id;
        let (deleted, returned) = tokio::join!(members[0].delete(&id, ""), undelete(&members[1], &id));
        deleted?;
        // The deletion may come before its return, after it, or between its look and its lock.
        let won = winners(vec![returned], &[ErrorReason::AlreadyExists, ErrorReason::NotFound])?;
        living += i64::try_from(won)?;
        ensure!(
            members[0].get(&id).await.is_ok() == (won == 1),
            "race {race}: what was acknowledged last is not there"
        );
    }
    are_accounted_for(&world, &members[0], living).await
}

pub async fn two_imports_of_the_same_rows_at_once_write_each_once(world: Arc<World>) -> anyhow::Result<()> {
    let members = at_both(&world).await?;
    let (distinct, times) = (150, 4);
    let rows: Vec<Lead> = (0..distinct * times)
        .map(|number| lead_named(&format!("lead{}", number % distinct)))
        .collect();
    let (one, other) = tokio::join!(members[0].import(rows.clone()), members[1].import(rows));
    let (one, other) = (one?, other?);
    let wanted = i64::from(distinct);
    ensure!(
        one.created + other.created == wanted,
        "{} and {} rows were created of {wanted}",
        one.created,
        other.created
    );
    let all = wanted * i64::from(times) * 2;
    ensure!(
        one.duplicate + other.duplicate == all - wanted,
        "{} and {} duplicates",
        one.duplicate,
        other.duplicate
    );
    are_accounted_for(&world, &members[0], wanted).await
}

pub async fn resizes_of_one_lead_charge_its_last_size(world: Arc<World>) -> anyhow::Result<()> {
    let members = at_both(&world).await?;
    for race in 0..RACES {
        let id = members[0].create(lead_named(&format!("lead{race}"))).await?.id;
        let resized = SIZES.into_iter().enumerate().map(|(call, size)| {
            let lead = Lead {
                id: id.clone(),
                company: "x".repeat(size),
                ..Lead::default()
            };
            members[call % 2].update(lead, &["company"])
        });
        let won = winners(join_all(resized).await, &[ErrorReason::Conflict])?;
        ensure!(won > 0, "race {race}: no resize succeeded");
    }
    are_accounted_for(&world, &members[0], i64::try_from(RACES)?).await
}
