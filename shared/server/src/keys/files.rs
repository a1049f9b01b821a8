//! Keys in files, which may change at any time.
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_tenancy::{KeySet, LARGEST_KEY_SET, Signer, Trust, TrustedKey, Verifier, VerifyingKey, service_key_id};

use super::{Believed, KeySettings, KeySource};

/// A change counts when two looks see the same, so that it is in force within two of these and a little.
const LOOK: Duration = Duration::from_millis(500);
const MOST_FILES: usize = 64;
const PUBLIC_KEYS: &str = "public_keys";
const JWKS_FILE: &str = "jwks_file";
const PEERS: &str = "peers";
const OWN_KEY: &str = "service_key";

/// The keys of all sources that are files.
pub(super) fn read_all(settings: &KeySettings) -> anyhow::Result<BTreeMap<&'static str, Vec<TrustedKey>>> {
    let sources = [PUBLIC_KEYS, JWKS_FILE, PEERS];
    let read = sources.map(|source| Ok((source, read(settings, source)?)));
    read.into_iter().collect()
}

fn read(settings: &KeySettings, source: &'static str) -> anyhow::Result<Vec<TrustedKey>> {
    match source {
        PUBLIC_KEYS => public_keys(settings),
        JWKS_FILE => key_set(settings),
        _ => peers(&settings.service_peers_dir),
    }
}

fn public_keys(settings: &KeySettings) -> anyhow::Result<Vec<TrustedKey>> {
    let trust = settings.trust(KeySource::PublicKeys);
    let mut keys = Vec::new();
    for file in &settings.jwt_public_key_file {
        let read = text(file).and_then(|pem| Ok(VerifyingKey::all_from_pem(&pem)?));
        let read = read.with_context(|| format!("JWT_PUBLIC_KEY_FILE {}", file.display()))?;
        keys.extend(read.into_iter().map(|key| (key, trust.clone())));
    }
    Ok(keys)
}

fn key_set(settings: &KeySettings) -> anyhow::Result<Vec<TrustedKey>> {
    let Some(file) = &settings.jwt_jwks_file else {
        return Ok(Vec::new());
    };
    let set = text(file).and_then(|json| Ok(KeySet::parse(json.as_bytes())?));
    let set = set.with_context(|| format!("JWT_JWKS_FILE {}", file.display()))?;
    let trust = settings.trust(KeySource::JwksFile);
    Ok(set.keys.into_iter().map(|key| (key, trust.clone())).collect())
}

/// The keys of every service, each for itself.
fn peers(folder: &Path) -> anyhow::Result<Vec<TrustedKey>> {
    let mut keys = Vec::new();
    for path in peer_files(folder)? {
        let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let all = text(&path).and_then(|text| {
            let set = path.extension().is_some_and(|extension| extension == "jwks");
            let all = if set {
                KeySet::parse(text.as_bytes())?.keys
            } else {
                VerifyingKey::all_from_pem(&text)?
            };
            all.iter()
                .try_for_each(|key| service_key_id(&service, key).map(|_id| ()))?;
            Ok(all)
        });
        let all = all.with_context(|| format!("service key {}", path.display()))?;
        keys.extend(all.into_iter().map(|key| (key, Trust::Service(service.clone()))));
    }
    ensure!(
        !keys.is_empty(),
        "SERVICE_PEERS_DIR: {} holds no `<service>.pub`",
        folder.display()
    );
    Ok(keys)
}

fn peer_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder);
    let listed = listed.with_context(|| format!("SERVICE_PEERS_DIR: cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "pub" || ext == "jwks") {
            files.push(path);
        }
        ensure!(
            files.len() <= MOST_FILES,
            "SERVICE_PEERS_DIR holds more than {MOST_FILES} files"
        );
    }
    files.sort();
    Ok(files)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(LARGEST_KEY_SET as u64 + 1).read_to_string(&mut text));
    read.context("cannot be read")?;
    ensure!(text.len() <= LARGEST_KEY_SET, "is larger than {LARGEST_KEY_SET} bytes");
    Ok(text)
}

/// A key whose public half nobody has would have every call refused.
pub(super) fn must_be_known(verifier: &Verifier, id: &str) -> anyhow::Result<()> {
    ensure!(
        verifier.knows(id),
        "SERVICE_KEY: its public half {id} is not in SERVICE_PEERS_DIR; other services would refuse what it signs"
    );
    Ok(())
}

/// What tells whether a file is another one than before, without reading it.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// Device, inode, length, and both times with their nanoseconds.
    of: Option<[i64; 7]>,
}

impl Stamp {
    /// A look costs less than handing it to another thread would; links are followed, as Kubernetes exchanges them.
    fn of(path: PathBuf) -> Self {
        let stamp = |of: std::fs::Metadata| {
            let [device, inode, length] = [of.dev(), of.ino(), of.len()].map(u64::cast_signed);
            [
                device,
                inode,
                length,
                of.mtime(),
                of.mtime_nsec(),
                of.ctime(),
                of.ctime_nsec(),
            ]
        };
        let of = std::fs::metadata(&path).ok().map(stamp);
        Self { path, of }
    }
}

/// A source as it was taken and as it was seen last.
struct Watched {
    source: &'static str,
    taken: Vec<Stamp>,
    seen: Vec<Stamp>,
    good: Instant,
    complaint: String,
}

/// All sources that are files.
pub(super) struct Files {
    settings: KeySettings,
    believed: Arc<Believed>,
    signer: Arc<Signer>,
    watched: Mutex<Vec<Watched>>,
}

impl Files {
    pub fn new(settings: &KeySettings, believed: Arc<Believed>, signer: Arc<Signer>) -> Self {
        let watched = |source: &'static str| {
            let stamps = stamps(settings, source);
            (!stamps.is_empty()).then(|| Watched {
                source,
                taken: stamps.clone(),
                seen: stamps,
                good: Instant::now(),
                complaint: String::new(),
            })
        };
        let sources = [PUBLIC_KEYS, JWKS_FILE, PEERS, OWN_KEY];
        Self {
            watched: Mutex::new(sources.into_iter().filter_map(watched).collect()),
            settings: settings.clone(),
            believed,
            signer,
        }
    }

    /// Looks at the files for as long as the server runs.
    pub async fn follow(&self) {
        self.believed.report();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            for watched in watched.iter_mut() {
                self.look(watched);
            }
        }
    }

    fn look(&self, watched: &mut Watched) {
        let now = stamps(&self.settings, watched.source);
        let settled = now == watched.seen;
        watched.seen = now;
        if watched.seen == watched.taken {
            watched.good = Instant::now();
            watched.complaint.clear();
        } else if settled {
            self.take(watched);
        }
        let age = watched.good.elapsed().as_secs_f64();
        metrics::gauge!("onekeel_key_set_age_seconds", "source" => watched.source).set(age);
    }

    fn take(&self, watched: &mut Watched) {
        let source = watched.source;
        match self.exchange(source) {
            Ok(()) => {
                watched.taken.clone_from(&watched.seen);
                watched.good = Instant::now();
                watched.complaint.clear();
                metrics::counter!("onekeel_key_reloads_total", "source" => source).increment(1);
                tracing::info!(keys.source = source, "new keys are in use");
            }
            Err(error) => {
                // Grows as long as the files are broken, so that an alarm stays; the log says it once.
                metrics::counter!("onekeel_key_reload_failures_total", "source" => source).increment(1);
                let said = format!("{error:#}");
                if said != watched.complaint {
                    tracing::error!(keys.source = source, error = %said, "new keys are refused; the old ones stay in use");
                    watched.complaint = said;
                }
            }
        }
    }

    fn exchange(&self, source: &'static str) -> anyhow::Result<()> {
        if source != OWN_KEY {
            return self.believed.exchange(source, read(&self.settings, source)?);
        }
        let pem = self.settings.own_key()?;
        let next = Signer::from_pem(self.signer.service(), pem.expose()).context("SERVICE_KEY")?;
        must_be_known(&self.believed.verifier, &next.key_id())?;
        self.signer.replace(pem.expose()).context("SERVICE_KEY")?;
        Ok(())
    }
}

fn stamps(settings: &KeySettings, source: &'static str) -> Vec<Stamp> {
    let paths = match source {
        PUBLIC_KEYS => settings.jwt_public_key_file.clone(),
        JWKS_FILE => settings.jwt_jwks_file.iter().cloned().collect(),
        OWN_KEY => settings.service_key_file.iter().cloned().collect(),
        _ => {
            let folder = settings.service_peers_dir.clone();
            let mut paths = peer_files(&folder).unwrap_or_default();
            paths.push(folder);
            paths
        }
    };
    paths.into_iter().map(Stamp::of).collect()
}
