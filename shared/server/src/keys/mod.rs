//! Keys of tokens: where they come from, and how they change while the server runs.
//!
//! Every source has its keys of the moment; when those of one change, all are exchanged as a whole. A source that breaks
//! keeps the keys that it had.

mod fetch;
mod files;
mod remote;
mod settings;

pub use settings::{KeySettings, KeySource};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use onekeel_tenancy::{Signer, TrustedKey, Verifier};

use self::files::Files;
use self::remote::Remote;

/// Label of the keys that never change.
const FIXED: &str = "secret";

/// The keys of a server, and what keeps them fresh.
pub(crate) struct Keys {
    pub verifier: Arc<Verifier>,
    pub signer: Arc<Signer>,
    files: Arc<Files>,
    remote: Option<Arc<Remote>>,
}

/// The keys of each source, and the verifier that has them all.
pub(crate) struct Believed {
    verifier: Arc<Verifier>,
    sources: Mutex<BTreeMap<&'static str, Vec<TrustedKey>>>,
}

impl Believed {
    /// Exchanges the keys of one source; on an error all stays as it is.
    fn exchange(&self, source: &'static str, keys: Vec<TrustedKey>) -> anyhow::Result<()> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = sources.clone();
        next.insert(source, keys);
        self.verifier.replace(next.values().flatten().cloned().collect())?;
        *sources = next;
        self.report();
        Ok(())
    }

    fn report(&self) {
        let [users, services] = self.verifier.keys();
        metrics::gauge!("onekeel_keys", "of" => "users").set(users as f64);
        metrics::gauge!("onekeel_keys", "of" => "services").set(services as f64);
    }
}

impl KeySettings {
    /// All keys as they are now; each must be good.
    pub(crate) async fn open(&self, service: &'static str) -> anyhow::Result<Keys> {
        let mut sources = files::read_all(self)?;
        if let Some(secret) = self.secret()? {
            sources.insert(FIXED, vec![(secret, self.trust(KeySource::Secret))]);
        }
        let opening = remote::Opening::of(self)?;
        if let Some(opening) = &opening {
            sources.insert(remote::SOURCE, opening.first().await?);
        }
        let all = sources.values().flatten().cloned().collect();
        let verifier = Verifier::new(self.rules(), all)
            .context("set JWT_SECRET, JWT_PUBLIC_KEY_FILE, JWT_JWKS_FILE or JWT_JWKS_URL, each once")?;
        let verifier = Arc::new(verifier);
        let signer = Signer::from_pem(service, self.own_key()?.expose()).context("SERVICE_KEY")?;
        files::must_be_known(&verifier, &signer.key_id())?;
        let believed = Arc::new(Believed {
            verifier: verifier.clone(),
            sources: Mutex::new(sources),
        });
        let signer = Arc::new(signer);
        Ok(Keys {
            files: Arc::new(Files::new(self, believed.clone(), signer.clone())),
            remote: opening.map(|opening| Arc::new(Remote::new(opening, believed))),
            verifier,
            signer,
        })
    }
}

impl Keys {
    /// The work that keeps them fresh.
    pub fn tasks(&self) -> Vec<(&'static str, crate::parts::Task)> {
        let files = self.files.clone();
        let mut tasks: Vec<(&'static str, crate::parts::Task)> = vec![(
            "key_files",
            Box::new(move || {
                let files = files.clone();
                Box::pin(async move { files.follow().await })
            }),
        )];
        if let Some(remote) = self.remote.clone() {
            tasks.push((
                "key_url",
                Box::new(move || {
                    let remote = remote.clone();
                    Box::pin(async move { remote.follow().await })
                }),
            ));
        }
        tasks
    }
}
