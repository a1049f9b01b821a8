//! The two folders of the services' keys, and what a rotation does to them. Every file is exchanged as a whole, and the
//! public half of a key is in its place before the private one signs.
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use onekeel_tenancy::{KeyPair, Signer, VerifyingKey, service_key_id};

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
/// Only its owner looks into a folder of private keys.
const PRIVATE_FOLDER: u32 = 0o700;

/// Where private and public keys lie.
pub(super) struct Folders {
    pub keys: PathBuf,
    pub peers: PathBuf,
}

impl Folders {
    /// A service's first key.
    pub fn make(&self, service: &str) -> anyhow::Result<String> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_FOLDER)
            .create(&self.keys)
            .with_context(|| format!("cannot make {}", self.keys.display()))?;
        std::fs::create_dir_all(&self.peers).with_context(|| format!("cannot make {}", self.peers.display()))?;
        let (private, public) = (self.key(service), self.peer(service));
        if private.exists() {
            return Ok(format!("{} is there already", private.display()));
        }
        ensure!(
            !public.exists(),
            "{} is there, and {} is not; put the private key back, or take the public one away",
            public.display(),
            private.display()
        );
        let pair = KeyPair::generate()?;
        let id = identify(service, &pair.public_pem)?;
        exchange(&public, &pair.public_pem, PUBLIC)?;
        exchange(&private, &pair.private_pem, PRIVATE)?;
        Ok(format!("made {id}"))
    }

    /// Makes the next key and publishes it beside the present one.
    pub fn announce(&self, service: &str) -> anyhow::Result<String> {
        let (next, public) = (self.next(service), self.peer(service));
        let [signs, announced] = self.private(service)?;
        ensure!(
            signs.is_some(),
            "{} is not there; `onekeel keys make` makes it",
            self.key(service).display()
        );
        if let Some(id) = announced {
            bail!(
                "{id} is announced already; go on with `switch`, or take {} away",
                next.display()
            );
        }
        let pair = KeyPair::generate()?;
        let id = identify(service, &pair.public_pem)?;
        let both = format!("{}\n{}", read(&public)?.trim_end(), pair.public_pem);
        exchange(&next, &pair.private_pem, PRIVATE)?;
        exchange(&public, &both, PUBLIC)?;
        Ok(format!(
            "announced {id}; hand {} to every server, then `switch`",
            public.display()
        ))
    }

    /// Signs with the announced key from now on.
    pub fn switch(&self, service: &str) -> anyhow::Result<String> {
        let (private, next) = (self.key(service), self.next(service));
        let Some(id) = self.private(service)?[1].clone() else {
            bail!("{} is not there; `announce` makes it", next.display());
        };
        let published = self.public(service)?.iter().any(|key| key.id() == Some(&id));
        ensure!(
            published,
            "{id} is not in {}; `announce` puts it there",
            self.peer(service).display()
        );
        std::fs::rename(&next, &private).with_context(|| format!("cannot replace {}", private.display()))?;
        let of = private.display();
        // TenantService signs for API keys as well, and those tokens live for longer.
        let wait = if service == "tenant" {
            "a quarter of an hour"
        } else {
            "two minutes"
        };
        Ok(format!(
            "signs with {id}; hand {of} to its servers, wait {wait}, then `retire`"
        ))
    }

    /// Publishes the present key alone.
    pub fn retire(&self, service: &str) -> anyhow::Result<String> {
        let [signs, next] = self.private(service)?;
        let signs = signs.with_context(|| format!("{} is not there", self.key(service).display()))?;
        if let Some(id) = next {
            bail!("{id} is announced and signs nothing yet; `switch` comes first");
        }
        let public = self.peer(service);
        let blocks = pem::parse_many(read(&public)?)?;
        let mut kept = String::new();
        for block in &blocks {
            let pem = pem::encode(block);
            if identify(service, &pem)? == signs {
                kept = pem;
            }
        }
        ensure!(!kept.is_empty(), "{signs} is not in {}", public.display());
        exchange(&public, &kept, PUBLIC)?;
        Ok(format!(
            "{signs} alone is good; hand {} to every server",
            public.display()
        ))
    }

    /// The ids of the key that the service signs with, and of the next one.
    pub fn private(&self, service: &str) -> anyhow::Result<[Option<String>; 2]> {
        let id = |path: PathBuf| match std::fs::read_to_string(&path) {
            Ok(pem) => {
                let signer = Signer::from_pem(service, &pem).with_context(|| path.display().to_string())?;
                anyhow::Ok(Some(signer.key_id()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok([id(self.key(service))?, id(self.next(service))?])
    }

    /// A service's public keys under their ids.
    pub fn public(&self, service: &str) -> anyhow::Result<Vec<VerifyingKey>> {
        let path = self.peer(service);
        let keys = VerifyingKey::all_from_pem(&read(&path)?).with_context(|| path.display().to_string())?;
        let named = keys.into_iter().map(|key| {
            let id = service_key_id(service, &key)?;
            Ok(key.with_id(id))
        });
        named.collect()
    }

    fn key(&self, service: &str) -> PathBuf {
        self.keys.join(format!("{service}.key"))
    }

    fn next(&self, service: &str) -> PathBuf {
        self.keys.join(format!("{service}.next.key"))
    }

    fn peer(&self, service: &str) -> PathBuf {
        self.peers.join(format!("{service}.pub"))
    }
}

fn identify(service: &str, public_pem: &str) -> anyhow::Result<String> {
    Ok(service_key_id(service, &VerifyingKey::from_pem(public_pem)?)?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Nobody ever sees half a file, and nobody else a private one for a moment.
fn exchange(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    let mut file = tempfile::Builder::new();
    let written = file
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
        .tempfile_in(folder)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)
        });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
