//! A database server that is not ours: its logins are left alone.
use anyhow::{Context, bail};
use sqlx::{Connection, PgConnection};

use crate::services::{SERVICES, login_of, password_variable};

/// Logins belong to a whole server, and a run sets their passwords. Where they exist already, a deployment may depend
/// on them: then the run must be told their passwords instead of choosing its own.
pub(crate) async fn refuse_to_change_logins(url: &str) -> anyhow::Result<()> {
    let untold: Vec<&str> = SERVICES
        .into_iter()
        .filter(|name| std::env::var_os(password_variable(name)).is_none())
        .collect();
    let roles: Vec<String> = untold.iter().copied().map(login_of).collect();
    // The error of the parser may quote the address, and the address holds a password.
    let mut connection = PgConnection::connect(url)
        .await
        .map_err(without_address)
        .context("DATABASE_URL")?;
    let there: Vec<String> =
        sqlx::query_scalar("select rolname::text from pg_roles where rolname = any($1) order by 1")
            .bind(&roles)
            .fetch_all(&mut connection)
            .await?;
    connection.close().await?;
    if there.is_empty() {
        return Ok(());
    }
    let variables: Vec<String> = untold.into_iter().map(password_variable).collect();
    bail!(
        "the server at DATABASE_URL has the logins {} already; set {} to their passwords, or drop those roles",
        there.join(", "),
        variables.join(", ")
    )
}

fn without_address(error: sqlx::Error) -> anyhow::Error {
    match error {
        sqlx::Error::Configuration(_) => anyhow::anyhow!("is no postgres:// address"),
        other => other.into(),
    }
}
