//! What stands in PEM files, checked as far as it can be checked without a peer.
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files::Dated;

/// The only protocol that a server speaks.
const HTTP_2: &[u8] = b"h2";

/// A server's certificate and key, ready for handshakes.
pub struct Identity {
    /// TLS 1.2 and 1.3. A new identity has new tickets, so that no session outlives the certificate it began with.
    pub(crate) config: Arc<ServerConfig>,
    expires: SystemTime,
}

impl Identity {
    /// Of the contents of TLS_CERT_FILE and TLS_KEY_FILE.
    pub(crate) fn parse(files: &[Vec<u8>]) -> anyhow::Result<Self> {
        let [certificate, key] = files else {
            anyhow::bail!("a certificate and a key are two files");
        };
        let chain = certificates("TLS_CERT_FILE", certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|_| anyhow::anyhow!("TLS_KEY_FILE holds no private key in PEM"))?;
        let expires = expiry(&chain[0]).context("TLS_CERT_FILE")?;
        anyhow::ensure!(
            expires > SystemTime::now(),
            "the certificate in TLS_CERT_FILE has expired; every caller would refuse it"
        );
        let pair = CertifiedKey::from_der(chain, key, &default_provider());
        let pair = pair.context("TLS_CERT_FILE and TLS_KEY_FILE are no pair")?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(pair));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            expires,
        })
    }
}

impl Dated for Identity {
    fn expires(&self) -> SystemTime {
        self.expires
    }
}

/// The authorities whose certificates are trusted.
pub struct Authorities {
    /// Each of them.
    pub anchors: Vec<TrustAnchor<'static>>,
    expires: SystemTime,
}

impl Authorities {
    /// Of PEM text; each certificate in it must be readable.
    pub fn parse(pem: &[u8]) -> anyhow::Result<Self> {
        let chain = certificates("TLS_CA_FILE", pem)?;
        let mut store = RootCertStore::empty();
        let mut expires = UNIX_EPOCH;
        for certificate in chain {
            // A bundle may hold old ones; trust ends with the last.
            expires = expires.max(expiry(&certificate).context("TLS_CA_FILE")?);
            store
                .add(certificate)
                .context("TLS_CA_FILE holds a certificate that is no authority")?;
        }
        Ok(Self {
            anchors: store.roots,
            expires,
        })
    }

    pub(crate) fn parse_files(files: &[Vec<u8>]) -> anyhow::Result<Self> {
        Self::parse(&files.concat())
    }
}

impl Dated for Authorities {
    fn expires(&self) -> SystemTime {
        self.expires
    }
}

fn certificates(setting: &str, pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| anyhow::anyhow!("{setting} is broken PEM: {error}"))?;
    anyhow::ensure!(!found.is_empty(), "{setting} holds no certificate in PEM");
    Ok(found)
}

/// When a certificate expires.
pub fn expiry(certificate: &CertificateDer<'_>) -> anyhow::Result<SystemTime> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| anyhow::anyhow!("the certificate cannot be read: {error}"))?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
    Ok(UNIX_EPOCH + Duration::from_secs(seconds))
}
