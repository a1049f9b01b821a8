//! Certificates of one run, and the folder that hands them to the servers as a secret of Kubernetes would.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::secrets::write;
use crate::services::SERVICES;

const LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Clocks of two machines differ.
const EARLIER: Duration = Duration::from_secs(300);

/// An authority that lives as long as its run; its key is in no file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A server's certificate with its key.
pub struct Pair {
    /// The certificate in PEM.
    pub certificate: String,
    /// The private key in PEM.
    pub key: String,
}

impl Authority {
    /// A fresh one.
    pub fn generate(name: &str) -> anyhow::Result<Self> {
        let mut params = params(Vec::new(), name, SystemTime::now() + LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, pem })
    }

    /// A certificate for servers on the loopback interface.
    pub fn issue(&self, name: &str) -> anyhow::Result<Pair> {
        self.issue_for(&["localhost", "127.0.0.1"], name, SystemTime::now() + LIFE)
    }

    /// A certificate by which `service` shows itself to other services.
    pub fn issue_to(&self, service: &str) -> anyhow::Result<Pair> {
        let name = format!("onekeel-{service}");
        self.sign(
            &[&name],
            &name,
            SystemTime::now() + LIFE,
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    }

    /// A certificate for `hosts` (names or addresses) that expires at a certain time.
    pub fn issue_for(&self, hosts: &[&str], name: &str, expires: SystemTime) -> anyhow::Result<Pair> {
        self.sign(hosts, name, expires, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn sign(
        &self,
        hosts: &[&str],
        name: &str,
        expires: SystemTime,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<Pair> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = params(hosts, name, expires)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

fn params(hosts: Vec<String>, name: &str, expires: SystemTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (SystemTime::now().min(expires) - EARLIER).into();
    params.not_after = expires.into();
    Ok(params)
}

/// What the servers of a stack read: `ca.pem`, `<service>.crt` with `<service>.key`, and `<service>-client.crt` with its
/// key for what they show one another. A new state of all files
/// appears at once, by the exchange of one link.
pub struct Certificates {
    /// Signed what the servers show at first.
    pub authority: Arc<Authority>,
    folder: PathBuf,
    states: u32,
}

impl Certificates {
    /// A fresh authority and a pair for each service, below a new `folder`.
    pub fn generate(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut certificates = Self {
            authority: Arc::new(Authority::generate("onekeel development")?),
            folder: folder.to_owned(),
            states: 0,
        };
        let trusted = certificates.authority.pem.clone();
        let files = signed(&certificates.authority, &trusted)?;
        certificates.publish(&files)?;
        Ok(certificates)
    }

    /// The folder whose files are always those of the last state.
    pub fn current(&self) -> PathBuf {
        self.folder.join("current")
    }

    /// The authorities that are trusted now.
    pub fn trusted(&self) -> PathBuf {
        self.current().join("ca.pem")
    }

    /// Exchanges all files at once.
    pub fn publish(&mut self, files: &[(String, String)]) -> anyhow::Result<()> {
        self.states += 1;
        let state = self.folder.join(format!("state-{}", self.states));
        std::fs::create_dir(&state)?;
        for (name, text) in files {
            write(&state.join(name), text)?;
        }
        let link = self.folder.join("next");
        std::os::unix::fs::symlink(&state, &link)?;
        Ok(std::fs::rename(link, self.current())?)
    }
}

/// Files in which every service shows fresh certificates of `authority`, and `trusted` (PEM) is what they trust.
pub fn signed(authority: &Authority, trusted: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = vec![("ca.pem".to_owned(), trusted.to_owned())];
    for service in SERVICES {
        let pair = authority.issue(&format!("onekeel-{service}"))?;
        files.push((format!("{service}.crt"), pair.certificate));
        files.push((format!("{service}.key"), pair.key));
        let shown = authority.issue_to(service)?;
        files.push((format!("{service}-client.crt"), shown.certificate));
        files.push((format!("{service}-client.key"), shown.key));
    }
    Ok(files)
}
