//! PostgreSQL itself: whether it answers, and how it is doing.
use std::time::{Duration, Instant, SystemTime};

use onekeel_store::migrate;
use sqlx::{Connection, PgConnection, Row};

use super::clock::Asked;
use super::findings::{Findings, Status, listed};
use super::{roles, walls};

const LONGEST_CONNECT: Duration = Duration::from_secs(10);
const LONGEST_LOOK: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_millis(20);
const OLDEST: i32 = 150_000;
/// Minutes.
const LONG_TRANSACTION: f64 = 1.0;
const VERY_LONG_TRANSACTION: f64 = 30.0;

/// Every check of PostgreSQL at `url`; `pools` is what the servers may open in all.
pub async fn look(findings: &mut Findings, url: &str, pools: Option<i64>) {
    let connecting = tokio::time::timeout(LONGEST_CONNECT, PgConnection::connect(url)).await;
    let mut connection = match connecting {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return unreachable_by(findings, &why(&error)),
        Err(_) => return unreachable_by(findings, "no answer within 10 s"),
    };
    let looked = tokio::time::timeout(LONGEST_LOOK, look_closer(findings, &mut connection, url, pools)).await;
    if looked.is_err() {
        findings.failure(
            "postgres.answers",
            "the checks took longer than a minute",
            "look for locks and load in pg_stat_activity",
        );
    }
}

fn unreachable_by(findings: &mut Findings, why: &str) {
    findings.failure(
        "postgres.reachable",
        why,
        "check DATABASE_URL, the server and the way to it; nothing else about PostgreSQL was looked at",
    );
}

/// The error of the parser may quote the address, and the address holds a password.
pub fn why(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(_) => "DATABASE_URL is no postgres:// address".to_owned(),
        other => other.to_string(),
    }
}

/// A check: each stands alone, and one that cannot look says so.
macro_rules! checks {
    ($findings:ident: $($name:literal => $check:expr;)*) => {$(
        if let Err(error) = $check.await {
            $findings.warning($name, format!("could not look: {error}"), "use the login that runs the migrations");
        }
    )*};
}

async fn look_closer(findings: &mut Findings, connection: &mut PgConnection, url: &str, pools: Option<i64>) {
    checks! { findings:
        "postgres.reachable" => latency(findings, connection);
        "postgres.version" => version(findings, connection);
        "postgres.clock" => clock(findings, connection);
        "postgres.connections" => connections(findings, connection, pools);
        "postgres.migrations" => migrations(findings, connection);
        "postgres.roles" => roles::look(findings, connection);
        "postgres.rights" => walls::rights(findings, connection);
        "postgres.transactions" => transactions(findings, connection);
        "postgres.age" => ages(findings, connection);
    }
    walls::policies(findings, url).await;
}

type Looked = Result<(), sqlx::Error>;

async fn latency(findings: &mut Findings, connection: &mut PgConnection) -> Looked {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        sqlx::query("select 1").execute(&mut *connection).await?;
        best = best.min(began.elapsed());
    }
    let status = if best > SLOW { Status::Warning } else { Status::Ok };
    let seen = format!("answers in {:.2} ms", best.as_secs_f64() * 1000.0);
    findings.judge(
        "postgres.reachable",
        status,
        seen,
        "run the servers nearer to their database",
    );
    Ok(())
}

async fn version(findings: &mut Findings, connection: &mut PgConnection) -> Looked {
    let row = sqlx::query("select current_setting('server_version_num')::int, current_setting('server_version')");
    let row = row.fetch_one(connection).await?;
    let (number, name): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let status = if number >= OLDEST { Status::Ok } else { Status::Failure };
    findings.judge(
        "postgres.version",
        status,
        format!("PostgreSQL {name}"),
        "upgrade to PostgreSQL 15 or newer",
    );
    Ok(())
}

async fn clock(findings: &mut Findings, connection: &mut PgConnection) -> Looked {
    let before = SystemTime::now();
    let other: f64 = sqlx::query_scalar("select extract(epoch from clock_timestamp())::float8")
        .fetch_one(connection)
        .await?;
    let after = SystemTime::now();
    Asked { before, after, other }.judge(findings, "postgres.clock", "PostgreSQL");
    Ok(())
}

async fn connections(findings: &mut Findings, connection: &mut PgConnection, pools: Option<i64>) -> Looked {
    let row = sqlx::query(
        "select current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8,
            (select count(*) from pg_stat_activity where backend_type = 'client backend'),
            (select count(*) from pg_stat_activity where application_name like 'onekeel-%')",
    );
    let row = row.fetch_one(connection).await?;
    let (room, open, ours): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let planned = pools
        .map(|pools| format!("; the servers may open {pools}"))
        .unwrap_or_default();
    let seen = format!("{open} of {room} are open, {ours} of them by servers of the suite{planned}");
    let others = open - ours;
    let status = match pools {
        Some(pools) if pools + others > room => Status::Failure,
        _ if open * 10 > room * 9 => Status::Warning,
        _ => Status::Ok,
    };
    let advice = "raise max_connections, lower MAX_CONNECTIONS of the servers, or put a pooler in between";
    findings.judge("postgres.connections", status, seen, advice);
    Ok(())
}

async fn migrations(findings: &mut Findings, connection: &mut PgConnection) -> Looked {
    let status = migrate::status(connection).await?;
    let name = "postgres.migrations";
    if !status.changed.is_empty() {
        let seen = format!("applied with another text: {}", listed(&status.changed, ""));
        findings.failure(
            name,
            seen,
            "compare with the release that made this database; never edit a migration",
        );
    } else if !status.missing.is_empty() {
        let seen = format!(
            "{} applied, not yet: {}",
            status.applied.len(),
            listed(&status.missing, "")
        );
        findings.failure(name, seen, "run `onekeel migrate`");
    } else if !status.unknown.is_empty() {
        let seen = format!("a newer release applied {}", listed(&status.unknown, ""));
        findings.warning(name, seen, "use the `onekeel` of that release");
    } else {
        findings.ok(name, format!("all {} are applied", status.applied.len()));
    }
    Ok(())
}

async fn transactions(findings: &mut Findings, connection: &mut PgConnection) -> Looked {
    let row = sqlx::query(
        "select coalesce(max(extract(epoch from now() - xact_start)), 0)::float8 / 60,
            count(*) filter (where state like 'idle in transaction%' and now() - state_change > interval '1 minute'),
            pg_has_role('pg_read_all_stats', 'usage')
        from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    let row = row.fetch_one(connection).await?;
    let (minutes, idle, sees_all): (f64, i64, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if !sees_all {
        let advice = "use the login that runs the migrations, or grant pg_read_all_stats to this one";
        findings.warning("postgres.transactions", "this login sees its own sessions only", advice);
        return Ok(());
    }
    let status = match minutes {
        minutes if minutes > VERY_LONG_TRANSACTION => Status::Failure,
        minutes if minutes > LONG_TRANSACTION => Status::Warning,
        _ if idle > 0 => Status::Warning,
        _ => Status::Ok,
    };
    let seen = format!("the oldest is {minutes:.1} min old, {idle} sit idle for more than a minute");
    let advice = "find it in pg_stat_activity and end it by pg_terminate_backend: it keeps dead rows alive";
    findings.judge("postgres.transactions", status, seen, advice);
    Ok(())
}

async fn ages(findings: &mut Findings, connection: &mut PgConnection) -> Looked {
    let row = sqlx::query(
        "select age(datfrozenxid)::int8, current_setting('autovacuum_freeze_max_age')::int8,
            mxid_age(datminmxid)::int8, current_setting('autovacuum_multixact_freeze_max_age')::int8
        from pg_database where datname = current_database()",
    );
    let row = row.fetch_one(connection).await?;
    for (name, what, place) in [
        ("postgres.transaction_age", "transaction", 0),
        ("postgres.multixact_age", "multixact", 2),
    ] {
        let (age, most): (i64, i64) = (row.try_get(place)?, row.try_get(place + 1)?);
        // Autovacuum acts at `most`; the ids end at two thousand million.
        let status = match age {
            age if age > 1_500_000_000 => Status::Failure,
            age if age > most + most / 2 => Status::Warning,
            _ => Status::Ok,
        };
        let seen = format!("the oldest {what} id is {age} old; autovacuum freezes at {most}");
        let advice = "see why autovacuum does not come through (locks, long transactions) and run vacuum (freeze)";
        findings.judge(name, status, seen, advice);
    }
    Ok(())
}
