//! A database of the suite's own on a given server: created, migrated, and dropped in the end.
use anyhow::Context;
use onekeel_store::migrate::{self, Login};
use sqlx::Postgres;
use sqlx::migrate::MigrateDatabase;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::random::random_secret;
use crate::services::{SERVICES, login_of, password_variable};

/// A migrated database with a login for each service.
pub struct Database {
    /// Address of the login that made it.
    pub admin_url: String,
    name: String,
    logins: Vec<Login>,
}

impl Database {
    /// Creates and migrates a new database on the server at `url`, whose login may create roles and databases.
    pub async fn create(url: &str) -> anyhow::Result<Self> {
        let name = format!("onekeel_{}", Uuid::new_v4().simple());
        let admin_url = with_database(url, &name)?;
        Postgres::create_database(&admin_url)
            .await
            .context("cannot create a database")?;
        let logins: Vec<Login> = SERVICES
            .into_iter()
            .map(|service| Login {
                role: login_of(service),
                password: password(service),
            })
            .collect();
        let database = Self {
            admin_url,
            name,
            logins,
        };
        migrate::run(&database.admin_url, &database.logins)
            .await
            .context("migrating")?;
        Ok(database)
    }

    /// Address with the login of `service`.
    pub fn url_for(&self, service: &str) -> anyhow::Result<String> {
        let role = login_of(service);
        let login = self
            .logins
            .iter()
            .find(|login| login.role == role)
            .context("no such service")?;
        let options: PgConnectOptions = self.admin_url.parse()?;
        let (host, port) = (options.get_host(), options.get_port());
        Ok(format!(
            "postgres://{}:{}@{host}:{port}/{}",
            login.role, login.password, self.name
        ))
    }

    /// Drops the database, and ends whoever is still connected.
    pub async fn remove(&self) -> anyhow::Result<()> {
        Ok(Postgres::force_drop_database(&self.admin_url).await?)
    }
}

/// Roles belong to the whole server: runs that share one must agree, and do by the environment. Otherwise it is fresh.
fn password(service: &str) -> String {
    std::env::var(password_variable(service)).unwrap_or_else(|_| random_secret())
}

/// The address with another database's name; what follows the name (options) stays.
fn with_database(url: &str, name: &str) -> anyhow::Result<String> {
    let (scheme, rest) = url
        .split_once("://")
        .context("DATABASE_URL is no postgres:// address")?;
    let (path, options) = rest
        .split_once('?')
        .map_or((rest, None), |(path, options)| (path, Some(options)));
    let server = path.split_once('/').map_or(path, |(server, _)| server);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    Ok(format!("{scheme}://{server}/{name}{options}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_name_of_the_database_changes() {
        let with = |url| with_database(url, "new").expect("an address");
        assert_eq!(with("postgres://u:p@h:1/old"), "postgres://u:p@h:1/new");
        assert_eq!(with("postgres://u@h"), "postgres://u@h/new");
        assert_eq!(
            with("postgres://u@h/old?sslmode=require"),
            "postgres://u@h/new?sslmode=require"
        );
        assert!(with_database("h:1/old", "new").is_err());
    }
}
