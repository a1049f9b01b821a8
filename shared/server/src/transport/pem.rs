//! What stands in PEM files, checked as far as it can be checked without a peer.
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
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
    /// Of the contents of TLS_CERT_FILE, TLS_KEY_FILE and, where callers may show certificates, TLS_CLIENT_CA_FILE.
    pub(crate) fn parse(files: &[Vec<u8>]) -> anyhow::Result<Self> {
        let [certificate, key, rest @ ..] = files else {
            anyhow::bail!("a certificate and a key are two files");
        };
        let own = Pair::parse(["TLS_CERT_FILE", "TLS_KEY_FILE"], certificate, key)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(own.certified));
        let config =
            ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
        let config = match rest.first() {
            None => config.with_no_client_auth(),
            Some(authorities) => config.with_client_cert_verifier(client_verifier(authorities)?),
        };
        let mut config = config.with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            expires: own.expires,
        })
    }
}

/// Users show no certificate, and whoever shows one must have it from an authority that signs those of services.
fn client_verifier(authorities: &[u8]) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let authorities = trusted("TLS_CLIENT_CA_FILE", authorities)?;
    let roots = RootCertStore {
        roots: authorities.anchors,
    };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    verifier.allow_unauthenticated().build().context("TLS_CLIENT_CA_FILE")
}

/// A certificate with its key.
struct Pair {
    certified: CertifiedKey,
    expires: SystemTime,
}

impl Pair {
    fn parse([certificate_name, key_name]: [&str; 2], certificate: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let chain = certificates(certificate_name, certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|_| anyhow::anyhow!("{key_name} holds no private key in PEM"))?;
        let expires = expiry(&chain[0]).context(certificate_name.to_owned())?;
        anyhow::ensure!(
            expires > SystemTime::now(),
            "the certificate in {certificate_name} has expired; every peer would refuse it"
        );
        let certified = CertifiedKey::from_der(chain, key, &default_provider());
        let certified = certified.with_context(|| format!("{certificate_name} and {key_name} are no pair"))?;
        Ok(Self { certified, expires })
    }
}

impl Dated for Identity {
    fn expires(&self) -> SystemTime {
        self.expires
    }
}

/// The authorities whose certificates are trusted, and what is shown to servers that have one of theirs.
pub struct Authorities {
    /// Each of them.
    pub anchors: Vec<TrustAnchor<'static>>,
    /// The certificate that is shown, if any.
    pub(crate) shown: Option<tonic::transport::Identity>,
    expires: SystemTime,
}

impl Authorities {
    /// Of PEM text; each certificate in it must be readable.
    pub fn parse(pem: &[u8]) -> anyhow::Result<Self> {
        trusted("TLS_CA_FILE", pem)
    }

    /// Of the contents of TLS_CA_FILE, and of TLS_CLIENT_CERT_FILE and TLS_CLIENT_KEY_FILE where they are set.
    pub(crate) fn parse_files(files: &[Vec<u8>]) -> anyhow::Result<Self> {
        let (authorities, shown) = files.split_first().context("TLS_CA_FILE is one file")?;
        let mut authorities = Self::parse(authorities)?;
        if let [certificate, key] = shown {
            let pair = Pair::parse(["TLS_CLIENT_CERT_FILE", "TLS_CLIENT_KEY_FILE"], certificate, key)?;
            authorities.expires = authorities.expires.min(pair.expires);
            authorities.shown = Some(tonic::transport::Identity::from_pem(certificate, key));
        }
        Ok(authorities)
    }
}

fn trusted(setting: &str, pem: &[u8]) -> anyhow::Result<Authorities> {
    let mut store = RootCertStore::empty();
    let mut expires = UNIX_EPOCH;
    for certificate in certificates(setting, pem)? {
        // A bundle may hold old ones; trust ends with the last.
        expires = expires.max(expiry(&certificate).context(setting.to_owned())?);
        let added = store.add(certificate);
        added.with_context(|| format!("{setting} holds a certificate that is no authority"))?;
    }
    Ok(Authorities {
        anchors: store.roots,
        shown: None,
        expires,
    })
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
