//! PostgreSQL refuses to run as root: who runs it then.
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::unistd::{Uid, User};
use tokio::process::Command;

const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The account of private servers: ourselves, or an unprivileged one when we are root.
pub(crate) struct Account(Option<User>);

impl Account {
    pub fn choose() -> anyhow::Result<Self> {
        if !Uid::effective().is_root() {
            return Ok(Self(None));
        }
        let found = UNPRIVILEGED
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        Ok(Self(Some(found.context("no account named postgres or nobody")?)))
    }

    /// A command that this account runs.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = &self.0 {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        // Root's home is closed to the account, and a program may look at where it stands.
        command.current_dir("/");
        command
    }

    /// A new folder that only this account may read.
    pub fn folder(&self, path: PathBuf) -> anyhow::Result<PathBuf> {
        std::fs::create_dir(&path)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        self.own(&path)?;
        Ok(path)
    }

    /// Gives a path to this account.
    pub fn own(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(user) = &self.0 {
            std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }
}
