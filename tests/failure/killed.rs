//! Servers that are killed while an import runs.
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::lead::{ImportOutcome, Lead};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, lead_named};
use tonic::Code;

/// Every server, and the database sessions, this often.
const CYCLES: usize = 3;
/// Rows of one stream: each stream that is answered is a part of the import that is done.
const PART: usize = 200;
const BETWEEN_KILLS: Duration = Duration::from_millis(400);

/// What the import came to, as its caller knows it.
#[derive(Default)]
struct Tally {
    rows: usize,
    acknowledged: HashSet<String>,
    broken_streams: usize,
    not_tried: i64,
    duplicates: i64,
}

/// What was killed.
#[derive(Default)]
struct Kills {
    servers: usize,
    backends: usize,
}

/// Ends every database session of the lead server at once.
async fn terminate_backends(world: &World) -> anyhow::Result<usize> {
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from pg_stat_activity
        where usename = 'onekeel_lead' and datname = current_database()",
    )
    .fetch_all(&world.behind)
    .await?;
    Ok(ended.len())
}

/// Imports a part until every row of it was answered with an outcome that stays.
async fn import_part(member: &Member, part: &[Lead], tally: &mut Tally) -> anyhow::Result<()> {
    let mut round = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..600 {
        round.tick().await;
        let answer = match member.import(part.to_vec()).await {
            Ok(answer) => answer,
            // The request limit is out of the way; only what was killed may break a stream.
            Err(status) => {
                ensure!(status.code() != Code::ResourceExhausted, "{status:?}");
                tally.broken_streams += 1;
                continue;
            }
        };
        for result in &answer.results {
            if result.outcome() == ImportOutcome::Created {
                tally.acknowledged.insert(result.lead_id.clone());
            }
        }
        tally.not_tried += answer.not_tried;
        if answer.not_tried == 0 {
            tally.duplicates += answer.duplicate;
            ensure!(answer.over_quota == 0 && answer.invalid == 0, "{answer:?}");
            return Ok(());
        }
    }
    anyhow::bail!("a part could not be imported in a minute")
}

pub async fn an_import_survives_the_kill_of_every_server(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::start(&Plan::default()).await?;
    let admin = world.member("enterprise").await?;
    world.limit(admin.id, "requests_per_minute", 2_000_000).await?;
    let member = Member::new(&world.stack, admin.id, Role::Admin, 0)?;
    let enough = Arc::new(AtomicBool::new(false));
    let importing = {
        let enough = enough.clone();
        tokio::spawn(async move {
            let mut tally = Tally::default();
            while !enough.load(Ordering::Acquire) {
                let first = tally.rows;
                let part: Vec<Lead> = (first..first + PART)
                    .map(|number| lead_named(&format!("lead{number}")))
                    .collect();
                import_part(&member, &part, &mut tally).await?;
                tally.rows += PART;
            }
            anyhow::Ok(tally)
        })
    };
    let mut kills = Kills::default();
    let mut round = tokio::time::interval(BETWEEN_KILLS);
    round.tick().await;
    let victims = SERVICES.into_iter().map(Some).chain([None]);
    for service in std::iter::repeat_n(victims, CYCLES).flatten() {
        round.tick().await;
        ensure!(
            !importing.is_finished(),
            "the import ended early: {:?}",
            importing.await?.err()
        );
        match service {
            Some(service) => {
                world.stack.server(service, 0)?.kill_and_restart().await?;
                kills.servers += 1;
            }
            None => kills.backends += terminate_backends(&world).await?,
        }
    }
    enough.store(true, Ordering::Release);
    let tally = importing.await??;
    let used = world.settle(admin.id).await?;
    let rows = world.rows(admin.id).await?;
    let existing: Vec<uuid::Uuid> = sqlx::query_scalar("select id from lead.leads where client_id = $1")
        .bind(admin.id.uuid())
        .fetch_all(&world.behind)
        .await?;
    let existing: HashSet<String> = existing.iter().map(ToString::to_string).collect();
    let lost = tally.acknowledged.difference(&existing).count();
    let log = std::fs::read_to_string(world.stack.folder().join("lead-0.log"))?;
    println!(
        "{} servers and {} database sessions killed, {} commits unknown, {} rows fenced; {} streams broken, {} rows not \
         tried at first, {} found already written; {rows} rows, {used} used",
        kills.servers,
        kills.backends,
        log.matches("the outcome of a commit is not known").count(),
        log.matches("a charge was fenced").count(),
        tally.broken_streams,
        tally.not_tried,
        tally.duplicates
    );
    ensure!(lost == 0, "{lost} acknowledged rows are lost");
    let wanted = i64::try_from(tally.rows)?;
    ensure!(
        wanted == rows && rows == used,
        "{rows} rows, {used} used, {wanted} wanted"
    );
    ensure!(
        kills.servers == CYCLES * SERVICES.len(),
        "{} kills: not every server was killed",
        kills.servers
    );
    ensure!(kills.backends > 0, "no database session was ended");
    ensure!(tally.broken_streams > 0, "no stream was broken: nothing was tested");
    world.stop().await.context("ending")
}
