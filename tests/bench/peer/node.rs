//! The peer's process, where Node.js is there.
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_operator::private::{Process, free_port};
use onekeel_operator::stack::{AUDIENCE, ISSUER};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::progress;
use crate::world::World;

const FILES: [(&str, &str); 2] = [
    ("package.json", include_str!("package.json")),
    ("server.js", include_str!("server.js")),
];
const LONGEST_INSTALL: Duration = Duration::from_secs(300);
const LONGEST_START: Duration = Duration::from_secs(30);

/// A program on the PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// The running peer.
pub struct Peer {
    process: Process,
    /// `host:port`.
    pub address: String,
}

impl Peer {
    /// Installs what the peer needs into `folder` and starts it on the database and the Redis of `world`.
    pub async fn start(node: &Path, npm: &Path, folder: &Path, world: &World) -> anyhow::Result<Self> {
        for (name, text) in FILES {
            std::fs::write(folder.join(name), text)?;
        }
        progress::say("installing what the peer needs, with npm");
        let mut install = Command::new(npm);
        install.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ]);
        let installed = install.current_dir(folder).kill_on_drop(true).output();
        let installed = tokio::time::timeout(LONGEST_INSTALL, installed)
            .await
            .context("npm does not end")??;
        ensure!(
            installed.status.success(),
            "npm install: {}",
            String::from_utf8_lossy(&installed.stderr)
        );
        let address = format!("127.0.0.1:{}", free_port()?);
        let workers = std::thread::available_parallelism()?;
        let mut command = Command::new(node);
        command
            .arg("server.js")
            .current_dir(folder)
            .env("NODE_ENV", "production")
            .env("PORT", address.rsplit(':').next().unwrap_or_default())
            .env("WORKERS", workers.to_string())
            .env("DATABASE_URL", world.stack.database.url_for("lead")?)
            .env("REDIS_URL", world.redis_url())
            .env("JWT_SECRET_FILE", world.stack.secrets.folder.join("jwt"))
            .env("JWT_ISSUER", ISSUER)
            .env("JWT_AUDIENCE", AUDIENCE);
        let mut process = Process::start("the peer", command, &folder.join("peer.log"), None).await?;
        let answers = async || TcpStream::connect(&address).await.is_ok();
        process.wait_until(LONGEST_START, answers).await?;
        Ok(Self { process, address })
    }

    /// Its first process; the others are its children.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.process.kill_family().await
    }
}
