//! Limits that change while a grant waits for the row: the cap is what the rows say, and nothing is granted above it.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::quota::SetOverrideRequest;
use onekeel_tests::{Member, World, is, lead_named};
use sqlx::{Postgres, Transaction};
use tokio::task::JoinHandle;
use tonic::Status;

const LONGEST: Duration = Duration::from_secs(30);

/// A transaction that holds a tenant's usage rows, as a slow one would.
pub struct Held {
    transaction: Transaction<'static, Postgres>,
    /// Its process in PostgreSQL.
    process: i32,
}

#[expect(clippy::disallowed_methods, reason = "what is held here is held against the servers")]
pub async fn hold(world: &World, member: &Member) -> anyhow::Result<Held> {
    let mut transaction = world.behind.begin().await?;
    sqlx::query("select from quota.usage where client_id = $1 order by resource for no key update")
        .bind(member.id.uuid())
        .fetch_all(&mut *transaction)
        .await?;
    let process = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *transaction)
        .await?;
    Ok(Held { transaction, process })
}

impl Held {
    pub async fn commit(self) -> anyhow::Result<()> {
        Ok(self.transaction.commit().await?)
    }
}

/// Waits until so many transactions wait for these rows, or for others that do.
pub async fn waiting(world: &World, held: &Held, transactions: i64) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + LONGEST;
    let mut round = tokio::time::interval(Duration::from_millis(10));
    loop {
        round.tick().await;
        let waiting: i64 = sqlx::query_scalar(
            "with recursive waiting as (
                select pid from pg_stat_activity where $1 = any(pg_blocking_pids(pid))
                union
                select other.pid from pg_stat_activity other, waiting where waiting.pid = any(pg_blocking_pids(other.pid))
            )
            select count(*) from waiting",
        )
        .bind(held.process)
        .fetch_one(&world.behind)
        .await?;
        if waiting >= transactions {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{waiting} of {transactions} wait"
        );
    }
}

type Creation = JoinHandle<Result<onekeel_api::lead::Lead, Status>>;

fn create(member: &Member, name: &'static str) -> Creation {
    let member = member.clone();
    tokio::spawn(async move { member.create(lead_named(name)).await })
}

pub type Change = JoinHandle<anyhow::Result<()>>;

pub fn limit(world: &Arc<World>, member: &Member, units: i64, life: Option<Duration>) -> Change {
    let (world, id) = (world.clone(), member.id);
    tokio::spawn(async move {
        let wish = SetOverrideRequest {
            client_id: id.to_string(),
            resource: "leads".to_owned(),
            limit: Some(units),
            expire_time: life.map(|life| (std::time::SystemTime::now() + life).into()),
            reason: "a test".to_owned(),
            ..SetOverrideRequest::default()
        };
        world.limits()?.set_override(world.as_platform(wish)?).await?;
        Ok(())
    })
}

async fn cap(world: &World, member: &Member) -> anyhow::Result<i64> {
    let cap = sqlx::query_scalar("select cap from quota.usage where client_id = $1 and resource = 'leads'");
    Ok(cap.bind(member.id.uuid()).fetch_one(&world.behind).await?)
}

/// What the plan and the newest living override say, read apart from the servers' own computation.
async fn by_rows(world: &World, member: &Member) -> anyhow::Result<i64> {
    let newest: Option<i64> = sqlx::query_scalar(
        "select max_units from quota.overrides where client_id = $1 and resource = 'leads'
            and (expires_at is null or expires_at > clock_timestamp())
        order by created_at desc, id desc limit 1",
    )
    .bind(member.id.uuid())
    .fetch_optional(&world.behind)
    .await?;
    if let Some(units) = newest {
        return Ok(units);
    }
    let plan = sqlx::query_scalar(
        "select l.max_units from quota.assignments a
        join quota.plan_limits l on l.plan_id = a.plan_id and l.plan_version = a.plan_version and l.resource = 'leads'
        where a.client_id = $1 and a.state = 'active'",
    );
    Ok(plan.bind(member.id.uuid()).fetch_one(&world.behind).await?)
}

async fn ends_true(world: &World, member: &Member) -> anyhow::Result<()> {
    let (cap, rows) = (cap(world, member).await?, by_rows(world, member).await?);
    ensure!(cap == rows, "the cap is {cap}, and the rows say {rows}");
    let (rows, used) = (world.rows(member.id).await?, world.settle(member.id).await?);
    ensure!(rows == used && rows <= cap, "{rows} rows, {used} used, {cap} allowed");
    world.accounts_are_true(member.id).await
}

/// A creation and changes that all wait for the same rows, then go on in whatever order.
async fn race(
    world: &Arc<World>,
    member: &Member,
    changes: impl FnOnce() -> Vec<Change>,
) -> anyhow::Result<Result<onekeel_api::lead::Lead, Status>> {
    world.settle(member.id).await?;
    let held = hold(world, member).await?;
    let creation = create(member, "late");
    waiting(world, &held, 1).await?;
    let changes = changes();
    waiting(world, &held, 1 + i64::try_from(changes.len())?).await?;
    held.commit().await?;
    for change in changes {
        tokio::time::timeout(LONGEST, change).await.context("a change")???;
    }
    Ok(tokio::time::timeout(LONGEST, creation)
        .await
        .context("the creation")??)
}

pub async fn a_plan_lowered_while_a_grant_waits_is_obeyed(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    member.create(lead_named("first")).await?;
    let lower = || {
        let (world, id) = (world.clone(), member.id);
        vec![tokio::spawn(async move {
            world.change_plan(id, "basic").await??;
            Ok(())
        })]
    };
    race(&world, &member, lower)
        .await?
        .context("there is room in both plans")?;
    ensure!(cap(&world, &member).await? == 1000, "the lower plan's limit");
    ends_true(&world, &member).await
}

pub async fn two_overrides_at_once_leave_the_newest_one(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    member.create(lead_named("first")).await?;
    for round in 0..5 {
        let two = || {
            vec![
                limit(&world, &member, 1, None),
                limit(&world, &member, 50 + round, None),
            ]
        };
        match race(&world, &member, two).await? {
            Ok(lead) => member.delete(&lead.id, "").await?,
            Err(status) => drop(is::<()>(Err(status), ErrorReason::QuotaExceeded)?),
        }
        ends_true(&world, &member).await?;
    }
    Ok(())
}

pub async fn an_override_that_ends_while_a_grant_waits_counts_no_more(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    member.create(lead_named("first")).await?;
    limit(&world, &member, 1, Some(Duration::from_secs(2))).await??;
    is(member.create(lead_named("above")).await, ErrorReason::QuotaExceeded)?;
    let held = hold(&world, &member).await?;
    let creation = create(&member, "late");
    waiting(&world, &held, 1).await?;
    let mut round = tokio::time::interval(Duration::from_millis(50));
    while by_rows(&world, &member).await? == 1 {
        round.tick().await;
    }
    held.commit().await?;
    creation
        .await?
        .context("the override had ended when the grant was decided")?;
    ends_true(&world, &member).await
}

pub async fn a_downgrade_put_back_over_an_upgrade_restores_nothing_old(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    let rows = (0..1001).map(|number| lead_named(&format!("lead{number}"))).collect();
    ensure!(member.import(rows).await?.created == 1001, "1,001 leads");
    for _ in 0..3 {
        world.settle(member.id).await?;
        let held = hold(&world, &member).await?;
        let (down, up) = {
            let change = |plan: &'static str| {
                let (world, id) = (world.clone(), member.id);
                tokio::spawn(async move { world.change_plan(id, plan).await })
            };
            let down = change("basic");
            waiting(&world, &held, 1).await?;
            (down, change("enterprise"))
        };
        held.commit().await?;
        // Too much is in use for the lower plan; the other one may meet it on its way and come again.
        is(down.await??, ErrorReason::PlanBelowUsage)?;
        if let Err(status) = up.await?? {
            is::<()>(Err(status), ErrorReason::StateConflict)?;
            world.change_plan(member.id, "enterprise").await??;
        }
        let unlimited = member.quota().await?.limit.is_none();
        ensure!(unlimited, "the refused downgrade left a lower cap");
        member
            .create(lead_named(&uuid::Uuid::new_v4().simple().to_string()))
            .await?;
        world.change_plan(member.id, "professional").await??;
        ends_true(&world, &member).await?;
    }
    Ok(())
}
