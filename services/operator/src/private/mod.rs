//! PostgreSQL and Redis of our own, on free ports, in a folder of their own, gone when dropped.

mod account;
mod given;
mod install;
mod postgres;
mod process;
mod redis;

pub use install::{ensure_installed, postgres_folder};
pub use postgres::{Ending, Postgres};
pub use process::{Process, free_port};
pub use redis::Redis;

use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

/// Root's own temporary folder may be closed to others; these never are.
const OPEN_FOLDERS: [&str; 2] = ["/tmp", "/var/tmp"];

/// A database server and a cache for one run: those that `DATABASE_URL` and `REDIS_URL` name, or private ones.
pub struct Backing {
    /// Address of a login that may create roles and databases.
    pub database_url: String,
    /// Address of Redis.
    pub redis_url: String,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    // Last, so that the servers end before their folder goes.
    _folder: Option<TempDir>,
}

impl Backing {
    /// Uses what the environment names, and starts what it does not. Installs missing packages where that is allowed.
    pub async fn start() -> anyhow::Result<Self> {
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (database_url, redis_url) = (given("DATABASE_URL"), given("REDIS_URL"));
        if let Some(url) = &database_url {
            given::refuse_to_change_logins(url).await?;
        }
        Self::start_missing(database_url, redis_url, None, &[]).await
    }

    /// Starts both, whatever the environment names: for those who want to kill them.
    pub async fn start_private() -> anyhow::Result<Self> {
        Self::start_missing(None, None, None, &[]).await
    }

    /// As [`Backing::start_private`], with settings of PostgreSQL (`name=value`) that outweigh the usual ones.
    pub async fn start_private_with(settings: &'static [&'static str]) -> anyhow::Result<Self> {
        Self::start_missing(None, None, None, settings).await
    }

    /// As [`Backing::start_private`], with a Redis whose clock the library `clock` (libfaketime) lets tests set.
    pub async fn start_private_by_clock(clock: &Path) -> anyhow::Result<Self> {
        Self::start_missing(None, None, Some(clock), &[]).await
    }

    async fn start_missing(
        database_url: Option<String>,
        redis_url: Option<String>,
        clock: Option<&Path>,
        settings: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        ensure_installed(database_url.is_none(), redis_url.is_none())?;
        let folder = open_folder()?;
        let postgres = match &database_url {
            None => Some(Postgres::start(folder.path(), settings).await?),
            Some(_) => None,
        };
        let redis = match &redis_url {
            None => Some(Redis::start(folder.path(), clock).await?),
            Some(_) => None,
        };
        let private = |url: Option<String>, own: Option<String>| url.or(own).context("one of both is there");
        Ok(Self {
            database_url: private(database_url, postgres.as_ref().map(Postgres::url))?,
            redis_url: private(redis_url, redis.as_ref().map(Redis::url))?,
            postgres,
            redis,
            _folder: Some(folder),
        })
    }

    /// The private database server, to be killed and started again by tests.
    pub fn postgres(&mut self) -> Option<&mut Postgres> {
        self.postgres.as_mut()
    }

    /// The private cache, to be killed and started again by tests.
    pub fn redis(&mut self) -> Option<&mut Redis> {
        self.redis.as_mut()
    }
}

/// A new folder that an unprivileged account can reach.
pub(crate) fn open_folder() -> anyhow::Result<TempDir> {
    let parent = OPEN_FOLDERS.iter().map(Path::new).find(|folder| folder.is_dir());
    let parent = parent.context("neither /tmp nor /var/tmp is there")?;
    let folder = tempfile::Builder::new().prefix("onekeel-").tempdir_in(parent)?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(folder)
}
