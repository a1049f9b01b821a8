//! Secrets of one run: made fresh, kept in files that only their owner may read.
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use onekeel_tenancy::KeyPair;

use crate::random::random_secret;
use crate::services::SERVICES;

/// Issuer and audience of the tokens that a stack makes for itself.
pub const ISSUER: &str = "onekeel-dev";
/// See [`ISSUER`].
pub const AUDIENCE: &str = "onekeel";

/// What a run needs to keep to itself.
#[derive(Clone)]
pub struct Secrets {
    /// Secret of users' tokens (HS256).
    pub jwt: String,
    /// Where the files lie: `jwt`, `page-token`, `<service>.key`, and `peers/<service>.pub`.
    pub folder: PathBuf,
}

impl Secrets {
    /// Makes the secrets below a new `folder`.
    pub fn generate(folder: &Path) -> anyhow::Result<Self> {
        let peers = folder.join("peers");
        std::fs::create_dir_all(&peers)?;
        let jwt = random_secret();
        write(&folder.join("jwt"), &jwt)?;
        write(&folder.join("page-token"), &random_secret())?;
        for service in SERVICES {
            let pair = KeyPair::generate()?;
            write(&folder.join(format!("{service}.key")), &pair.private_pem)?;
            write(&peers.join(format!("{service}.pub")), &pair.public_pem)?;
        }
        Ok(Self {
            jwt,
            folder: folder.to_owned(),
        })
    }
}

pub(super) fn write(path: &Path, secret: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(secret.as_bytes())?)
}
