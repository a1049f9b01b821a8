//! The schema, brought to its newest version.
use std::time::Duration;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::{Connection, Error, PgConnection};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");
const MOST_ATTEMPTS: u32 = 10;

/// A login role and the password that it shall have.
pub struct Login {
    /// For example `onekeel_lead`.
    pub role: String,
    /// A secret; it travels as a parameter and stands in no statement's text.
    pub password: String,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Versions that were applied now, in order.
    pub applied: Vec<i64>,
    /// Versions that the schema knows in all.
    pub known: usize,
}

/// How a database's schema compares with the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Versions that are applied as they are known here.
    pub applied: Vec<i64>,
    /// Versions that are not applied yet.
    pub missing: Vec<i64>,
    /// Versions that were applied with another text.
    pub changed: Vec<i64>,
    /// Versions that a newer release applied.
    pub unknown: Vec<i64>,
}

/// Compares without changing anything; the login must be able to read the table of versions.
pub async fn status(connection: &mut PgConnection) -> Result<Status, Error> {
    let table = MIGRATIONS.table_name.as_ref();
    let there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    let done = if there {
        connection.list_applied_migrations(table).await?
    } else {
        Vec::new()
    };
    let mut status = Status::default();
    for known in MIGRATIONS.iter() {
        match done.iter().find(|done| done.version == known.version) {
            None => status.missing.push(known.version),
            Some(done) if done.checksum == known.checksum => status.applied.push(known.version),
            Some(_) => status.changed.push(known.version),
        }
    }
    let unknown = done.iter().map(|done| done.version);
    let is_known = |version: &i64| MIGRATIONS.iter().any(|known| known.version == *version);
    status.unknown = unknown.filter(|version| !is_known(version)).collect();
    Ok(status)
}

/// Applies what is missing and sets the passwords of `logins`. Idempotent; two runs at once wait for one another on an
/// advisory lock. The login at `url` must be allowed to create roles and schemas.
pub async fn run(url: &str, logins: &[Login]) -> Result<Report, Error> {
    let mut connection = PgConnection::connect(url).await?;
    // Held until the connection closes. Migrator's own lock comes too late for the table of versions and the roles.
    sqlx::query("select pg_advisory_lock(hashtext('onekeel migrate'))")
        .execute(&mut connection)
        .await?;
    let table = MIGRATIONS.table_name.as_ref();
    connection.ensure_migrations_table(table).await?;
    let before = connection.list_applied_migrations(table).await?;
    MIGRATIONS.run(&mut connection).await?;
    for login in logins {
        set_password(&mut connection, login).await?;
    }
    connection.close().await?;
    let versions = MIGRATIONS.iter().map(|migration| migration.version);
    Ok(Report {
        known: versions.len(),
        applied: versions
            .filter(|version| !before.iter().any(|done| done.version == *version))
            .collect(),
    })
}

/// Roles are cluster-wide, and two databases' migrations may change one at once; PostgreSQL then refuses one of them.
async fn set_password(connection: &mut PgConnection, login: &Login) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        let error = match try_set_password(connection, login).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let raced = error
            .as_database_error()
            .is_some_and(|database| database.code().as_deref() == Some("XX000"));
        if !raced || attempt == MOST_ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(20) * attempt).await;
        attempt += 1;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no tenant is touched here; the migrating login is no server's"
)]
async fn try_set_password(connection: &mut PgConnection, login: &Login) -> Result<(), Error> {
    let mut tx = connection.begin().await?;
    sqlx::query("select set_config('onekeel.role', $1, true), set_config('onekeel.password', $2, true)")
        .bind(&login.role)
        .bind(&login.password)
        .execute(&mut *tx)
        .await?;
    sqlx::raw_sql(
        "do $$ begin execute format('alter role %I login password %L',
            current_setting('onekeel.role'), current_setting('onekeel.password')); end $$",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
