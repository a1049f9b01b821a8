//! How bytes get in and out: TLS from files that may change at any time, and connections that end by themselves.
//!
//! Who calls is a matter of tokens; services may have to show certificates as well (see `mutual.rs`).

mod connection;
mod files;
mod handshakes;
mod listen;
mod mutual;
mod opened;
mod peer;
mod pem;
mod together;
mod turns;

pub use pem::{Authorities, Identity, expiry};

pub(crate) use connection::spread;
pub(crate) use files::Watched;
pub(crate) use listen::{Listening, listen};
pub(crate) use mutual::MutualLayer;
pub(crate) use peer::Peer;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use self::files::Files;

/// What can be set about connections.
#[derive(Args, Debug, Clone)]
pub struct Transport {
    /// Certificate of this server in PEM, its own first and then those that lead to the authority; without one it
    /// speaks plain text, for a mesh or a loopback interface. A new pair is taken without a restart.
    #[arg(long, env = "TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of TLS_CERT_FILE in PEM: PKCS#8, SEC1 or PKCS#1.
    #[arg(long, env = "TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,
    /// Authorities in PEM that sign the certificates of the services at `https://` addresses. New ones are taken
    /// without a restart.
    #[arg(long, env = "TLS_CA_FILE", value_name = "FILE")]
    pub tls_ca_file: Option<PathBuf>,
    /// Authorities in PEM that sign the certificates by which services show themselves as callers. With it, a service's
    /// call is admitted only over a connection whose certificate is for `onekeel-<service>`. New ones are taken without a
    /// restart.
    #[arg(long, env = "TLS_CLIENT_CA_FILE", value_name = "FILE")]
    pub tls_client_ca_file: Option<PathBuf>,
    /// Certificate in PEM by which this server shows itself to other services. A new pair is taken without a restart.
    #[arg(long, env = "TLS_CLIENT_CERT_FILE", value_name = "FILE")]
    pub tls_client_cert_file: Option<PathBuf>,
    /// Private key of TLS_CLIENT_CERT_FILE in PEM: PKCS#8, SEC1 or PKCS#1.
    #[arg(long, env = "TLS_CLIENT_KEY_FILE", value_name = "FILE")]
    pub tls_client_key_file: Option<PathBuf>,
    /// Seconds between two looks at the TLS files; a change is taken when two looks see the same.
    #[arg(long, env = "TLS_RELOAD_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub tls_reload_seconds: u64,
    /// Seconds until a connection is asked to end, a tenth more or less, so that callers find new replicas; 0 for never.
    #[arg(long, env = "MAX_CONNECTION_AGE_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub max_connection_age_seconds: u64,
    /// Seconds that its calls may take to end then; the longest stream takes 600.
    #[arg(long, env = "MAX_CONNECTION_AGE_GRACE_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub max_connection_age_grace_seconds: u64,
    /// Seconds of silence after which a caller is asked whether it is still there.
    #[arg(long, env = "KEEP_ALIVE_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub keep_alive_seconds: u64,
    /// Seconds that it may take to answer; then its connection is closed.
    #[arg(long, env = "KEEP_ALIVE_TIMEOUT_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub keep_alive_timeout_seconds: u64,
    /// Most connections of callers at once; more are closed at once.
    #[arg(long, env = "MAX_CLIENT_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_client_connections: u32,
}

impl Transport {
    /// This server's certificate and key, if it has any; follows the files from now on.
    pub(crate) async fn identity(&self) -> anyhow::Result<Option<Watched<Identity>>> {
        let own = pair(
            ("TLS_CERT_FILE", &self.tls_cert_file),
            ("TLS_KEY_FILE", &self.tls_key_file),
        )?;
        let Some(mut paths) = own else {
            anyhow::ensure!(
                self.tls_client_ca_file.is_none(),
                "TLS_CLIENT_CA_FILE is set and TLS_CERT_FILE is not; callers show certificates to servers that speak TLS only"
            );
            return Ok(None);
        };
        paths.extend(self.tls_client_ca_file.clone().map(|path| ("TLS_CLIENT_CA_FILE", path)));
        let files = Files {
            of: "certificate",
            paths,
            parse: Identity::parse,
        };
        files.follow(self.reload_every()).await.map(Some)
    }

    /// The authorities that this server trusts, if any are set, and what it shows to servers; follows the files from now
    /// on.
    pub(crate) async fn authorities(&self) -> anyhow::Result<Option<Watched<Authorities>>> {
        let shown = pair(
            ("TLS_CLIENT_CERT_FILE", &self.tls_client_cert_file),
            ("TLS_CLIENT_KEY_FILE", &self.tls_client_key_file),
        )?;
        let Some(path) = &self.tls_ca_file else {
            anyhow::ensure!(
                shown.is_none(),
                "TLS_CLIENT_CERT_FILE is set and TLS_CA_FILE is not; a certificate is shown to servers that are trusted only"
            );
            return Ok(None);
        };
        let mut paths = vec![("TLS_CA_FILE", path.clone())];
        paths.extend(shown.unwrap_or_default());
        let files = Files {
            of: "authority",
            paths,
            parse: Authorities::parse_files,
        };
        files.follow(self.reload_every()).await.map(Some)
    }

    /// Whether services have to show certificates.
    pub(crate) fn is_mutual(&self) -> bool {
        self.tls_client_ca_file.is_some()
    }

    fn reload_every(&self) -> Duration {
        Duration::from_secs(self.tls_reload_seconds)
    }
}

/// A setting's name and its file.
type Setting<'a> = (&'static str, &'a Option<PathBuf>);

/// Both files of a certificate and its key, or neither.
fn pair(certificate: Setting<'_>, key: Setting<'_>) -> anyhow::Result<Option<Vec<(&'static str, PathBuf)>>> {
    match (certificate, key) {
        ((_, None), (_, None)) => Ok(None),
        ((of, Some(certificate)), (and, Some(key))) => Ok(Some(vec![(of, certificate.clone()), (and, key.clone())])),
        ((set, Some(_)), (missing, None)) | ((missing, None), (set, Some(_))) => {
            anyhow::bail!("{set} is set and {missing} is not; set both, or none")
        }
    }
}
