//! Statements that are a transaction of their own: what is known of them when their connection is lost.
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_operator::stack::Plan;
use onekeel_store::{Once, Store, StoreConfig};
use onekeel_tenancy::Tenant;
use onekeel_tests::{World, lead_named};
use uuid::Uuid;

const CALLERS: usize = 8;
const CREATIONS: usize = 100;
/// Fewer sessions that were ended at work would show nothing.
const LEAST_ENDED: usize = 20;
const WRITE: &str = "with tenant as materialized (select $1::uuid as client_id from onekeel.set_tenant($1))
    insert into lead.leads (client_id, id, first_name, last_name, email, company, source, status, score, tags,
        created_at, updated_at, updated_by, stored_bytes)
    select client_id, $2, '', '', $3, '', '', 1, 0, '{}', now(), now(), 'test', 1 from tenant
    on conflict (client_id, id) do nothing";

fn known_constraint(constraint: &str) -> Option<Fault> {
    constraint
        .starts_with("leads_email_key")
        .then(|| Fault::already_exists("lead"))
}

async fn door(world: &World) -> anyhow::Result<Store> {
    let config = StoreConfig {
        url: world.stack.database.url_for("lead")?,
        max_connections: 2,
        application: "once".to_owned(),
        cache: None,
    };
    Ok(Store::connect(config).await?)
}

#[expect(clippy::disallowed_methods, reason = "the store is tested below the verifier")]
fn tenant(id: ClientId) -> Tenant {
    Tenant::for_background(id, "test")
}

fn lost() -> sqlx::Error {
    sqlx::Error::Io(ErrorKind::ConnectionReset.into())
}

#[expect(
    clippy::disallowed_types,
    reason = "the statement that lacks its tenant is made of the one that has it"
)]
fn as_it_stands(sql: String) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(sql)
}

async fn write(once: &mut Once, id: Uuid, email: &str) -> Result<bool, sqlx::Error> {
    let client = once.client_id();
    let insert = sqlx::query(WRITE).bind(client).bind(id).bind(email);
    Ok(insert.execute(once.conn()).await?.rows_affected() > 0)
}

/// What the store makes of a statement whose first connection is lost, before it or after its commit.
async fn write_losing(store: &Store, tenant: &Tenant, email: &str, after_commit: bool) -> Result<u32, Fault> {
    let (id, attempts) = (Uuid::now_v7(), AtomicU32::new(0));
    let work = async |once: &mut Once| {
        let first = attempts.fetch_add(1, Ordering::SeqCst) == 0;
        let written = (!first || after_commit) && write(once, id, email).await?;
        if first { Err(lost()) } else { Ok(written) }
    };
    store.once(tenant, "write", known_constraint, work).await?;
    Ok(attempts.into_inner())
}

/// PostgreSQL checks a table's indexes from the oldest to the newest; this makes that of the key the newest.
async fn renew_key(world: &World) -> anyhow::Result<()> {
    let reindex = "reindex index concurrently lead.leads_pkey";
    sqlx::query(reindex).execute(&world.behind).await?;
    Ok(())
}

pub async fn a_lost_connection_is_found_out(world: Arc<World>) -> anyhow::Result<()> {
    let (store, member) = (door(&world).await?, world.member("enterprise").await?);
    let tenant = tenant(member.id);
    let before = world.rows(member.id).await?;
    let losses = [
        ("before@example.com", false),
        ("after@example.com", true),
        ("newest@example.com", true),
    ];
    for (email, after_commit) in losses {
        if email.starts_with("newest") {
            renew_key(&world).await?;
        }
        let attempts = write_losing(&store, &tenant, email, after_commit).await?;
        ensure!(attempts == 2, "{attempts} attempts");
    }
    ensure!(world.rows(member.id).await? == before + 3, "each is there once");

    let known = write_losing(&store, &tenant, "after@example.com", false).await;
    let known = known.err().context("its address is taken by another one")?;
    ensure!(
        known.reason() == ErrorReason::AlreadyExists && !known.is_commit_unknown(),
        "{known:?}"
    );
    let always = store
        .once(&tenant, "write", known_constraint, async |_: &mut Once| Err(lost()))
        .await;
    let always = always.err().context("it was always lost")?;
    ensure!(
        always.reason() == ErrorReason::Unavailable && always.is_commit_unknown(),
        "{always:?}"
    );
    Ok(())
}

/// What waits for another transaction's end, with a statement that writes leads.
async fn somebody_waits(world: &World) -> anyhow::Result<bool> {
    let waits = "select exists (select from pg_stat_activity
        where wait_event_type = 'Lock' and application_name = 'once' and query like '%insert into lead.leads%')";
    Ok(sqlx::query_scalar(waits).fetch_one(&world.behind).await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what another session does is done beside the store"
)]
pub async fn an_attempt_that_still_commits_is_waited_for(world: Arc<World>) -> anyhow::Result<()> {
    renew_key(&world).await?;
    let (store, member) = (door(&world).await?, world.member("enterprise").await?);
    let (tenant, id, email) = (tenant(member.id), Uuid::now_v7(), "slow@example.com");
    // What the server goes on with when the connection is lost.
    let mut earlier = world.behind.begin().await?;
    let insert = sqlx::query(WRITE).bind(member.id.uuid()).bind(id).bind(email);
    insert.execute(&mut *earlier).await?;
    let attempts = AtomicU32::new(0);
    let work = async |once: &mut Once| match attempts.fetch_add(1, Ordering::SeqCst) {
        0 => Err(lost()),
        _ => write(once, id, email).await,
    };
    let commit = async {
        while !somebody_waits(&world).await? {
            tokio::task::yield_now().await;
        }
        earlier.commit().await?;
        anyhow::Ok(())
    };
    let both = async { tokio::join!(store.once(&tenant, "write", known_constraint, work), commit) };
    let (again, committed) = tokio::time::timeout(Duration::from_secs(20), both).await?;
    committed?;
    again?;
    ensure!(world.rows(member.id).await? == 1, "it is there once");
    Ok(())
}

pub async fn a_lost_race_is_run_again_and_a_taken_key_refused(world: Arc<World>) -> anyhow::Result<()> {
    let (store, member) = (door(&world).await?, world.member("enterprise").await?);
    let (tenant, id, attempts) = (tenant(member.id), Uuid::now_v7(), AtomicU32::new(0));
    let race = "do $$ begin raise serialization_failure; end $$";
    let work = async |once: &mut Once| {
        if attempts.fetch_add(1, Ordering::SeqCst) < 2 {
            sqlx::raw_sql(race).execute(once.conn()).await?;
        }
        write(once, id, "race@example.com").await
    };
    store.once(&tenant, "write", known_constraint, work).await?;
    let attempts = attempts.into_inner();
    ensure!(attempts == 3, "{attempts} attempts");

    let taken = async |once: &mut Once| write(once, id, "other@example.com").await;
    let taken = store.once(&tenant, "write", known_constraint, taken).await;
    let taken = taken.err().context("its key is another row's")?;
    ensure!(taken.reason() == ErrorReason::Internal, "{taken:?}");
    ensure!(world.rows(member.id).await? == 1, "only the first is there");
    Ok(())
}

pub async fn a_statement_without_its_tenant_writes_nothing(world: Arc<World>) -> anyhow::Result<()> {
    let store = door(&world).await?;
    let (own, other) = (world.member("enterprise").await?, world.member("enterprise").await?);
    for (set, row) in [(None, own.id), (Some(own.id), other.id)] {
        let write = async |once: &mut Once| {
            let from = "from onekeel.set_tenant($1)";
            let sql = WRITE.replace("$1::uuid as client_id", "$4::uuid as client_id");
            let sql = if set.is_some() {
                sql
            } else {
                sql.replace(from, "where $1::uuid is null")
            };
            let insert = sqlx::query(as_it_stands(sql))
                .bind(set.map(ClientId::uuid))
                .bind(Uuid::now_v7())
                .bind("x@example.com")
                .bind(row.uuid());
            Ok(insert.execute(once.conn()).await?.rows_affected() > 0)
        };
        let refused = store.once(&tenant(own.id), "write", known_constraint, write).await;
        let refused = refused
            .err()
            .with_context(|| format!("{set:?} wrote a row of {row:?}"))?;
        ensure!(refused.reason() == ErrorReason::Internal, "{refused:?}");
        ensure!(world.rows(row).await? == 0, "a row is there");
    }
    Ok(())
}

/// Ends one session of the lead server that is at work; whether there was one.
async fn end_one(world: &World) -> anyhow::Result<bool> {
    let ended: Option<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from pg_stat_activity
        where usename = 'onekeel_lead' and datname = current_database() and state = 'active'
            and query like '%insert into lead.leads%' limit 1",
    )
    .fetch_optional(&world.behind)
    .await?;
    Ok(ended == Some(true))
}

pub async fn creations_whose_session_ends_are_made_once(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let world = World::start(&Plan::default()).await?;
    let admin = world.member("enterprise").await?;
    world.limit(admin.id, "requests_per_minute", 2_000_000).await?;
    let enough = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (admin, enough) = (admin.clone(), enough.clone());
        callers.spawn(async move {
            let mut created = 0;
            while created < CREATIONS || !enough.load(Ordering::Acquire) {
                admin.create(lead_named(&format!("lead{caller}x{created}"))).await?;
                created += 1;
            }
            anyhow::Ok(created)
        });
    }
    let mut ended = 0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while ended < LEAST_ENDED {
        ended += usize::from(end_one(&world).await?);
        let over = tokio::time::Instant::now() > deadline || callers.len() < CALLERS;
        ensure!(
            !over,
            "only {ended} sessions could be ended: {:?}",
            callers.try_join_next()
        );
    }
    enough.store(true, Ordering::Release);
    let mut created = 0;
    while let Some(caller) = callers.join_next().await {
        created += i64::try_from(caller??)?;
    }
    let (used, rows) = (world.settle(admin.id).await?, world.rows(admin.id).await?);
    println!("{created} leads created, none refused, while {ended} sessions ended at work; {rows} rows, {used} used");
    ensure!(
        created == rows && rows == used,
        "{created} created, {rows} rows, {used} used"
    );
    world.stop().await
}
