//! How bytes get in and out: TLS from files that may change at any time, and connections that end by themselves.
//!
//! Who calls is a matter of tokens, so a server asks for no client certificate.

mod connection;
mod files;
mod handshakes;
mod listen;
mod opened;
mod pem;

pub use pem::{Authorities, Identity, expiry};

pub(crate) use files::Watched;
pub(crate) use listen::{Listening, listen};

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
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
        let (certificate, key) = match (&self.tls_cert_file, &self.tls_key_file) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (Some(_), None) => bail!("TLS_CERT_FILE is set and TLS_KEY_FILE is not; set both, or none for plain text"),
            (None, Some(_)) => bail!("TLS_KEY_FILE is set and TLS_CERT_FILE is not; set both, or none for plain text"),
        };
        let files = Files {
            of: "certificate",
            paths: vec![("TLS_CERT_FILE", certificate), ("TLS_KEY_FILE", key)],
            parse: Identity::parse,
        };
        files.follow(self.reload_every()).await.map(Some)
    }

    /// The authorities that this server trusts, if any are set; follows the file from now on.
    pub(crate) async fn authorities(&self) -> anyhow::Result<Option<Watched<Authorities>>> {
        let Some(path) = &self.tls_ca_file else {
            return Ok(None);
        };
        let files = Files {
            of: "authority",
            paths: vec![("TLS_CA_FILE", path.clone())],
            parse: Authorities::parse_files,
        };
        files.follow(self.reload_every()).await.map(Some)
    }

    fn reload_every(&self) -> Duration {
        Duration::from_secs(self.tls_reload_seconds)
    }
}
