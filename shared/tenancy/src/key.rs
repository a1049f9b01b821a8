//! Keys that verify tokens, each pinned to one algorithm, and the pairs that services sign with.
use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

/// RFC 7518 section 3.2: an HS256 key is at least as long as its hash.
const SHORTEST_SECRET: usize = 32;
/// An uncompressed point of P-256.
const P256_POINT: usize = 65;

/// Why a key cannot be used; never holds key material.
#[derive(Debug)]
pub struct KeyError(pub(crate) String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// A key with the one algorithm that it verifies; what a token's header asks for does not matter.
#[derive(Clone)]
pub struct VerifyingKey {
    pub(crate) id: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl VerifyingKey {
    /// A shared secret for HS256, at least 32 bytes.
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SHORTEST_SECRET {
            return Err(KeyError(format!(
                "a secret for HS256 needs at least {SHORTEST_SECRET} bytes"
            )));
        }
        Ok(Self {
            id: None,
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(secret),
        })
    }

    /// A public key in PEM: Ed25519 for `EdDSA`, P-256 for ES256, RSA for RS256.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let bytes = pem.as_bytes();
        let (algorithm, key) = if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
            (Algorithm::EdDSA, key)
        } else if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
            (Algorithm::ES256, key)
        } else if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
            (Algorithm::RS256, key)
        } else {
            return Err(KeyError("not a public key in PEM of Ed25519, P-256 or RSA".to_owned()));
        };
        if let (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) = (algorithm, key.kind())
            && point.len() != P256_POINT
        {
            return Err(KeyError("an EC key must be on the curve P-256".to_owned()));
        }
        Ok(Self {
            id: None,
            algorithm,
            key,
        })
    }

    /// Names the key: tokens with this `kid` are verified with it, tokens with another are not.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:?}, {:?})", self.id, self.algorithm)
    }
}

/// An Ed25519 key pair in PEM.
pub struct KeyPair {
    /// PKCS#8; a secret.
    pub private_pem: String,
    /// X.509 subject public key info.
    pub public_pem: String,
}

impl KeyPair {
    /// A new pair for a service's signing key.
    pub fn generate() -> Result<Self, KeyError> {
        let failed = |_| KeyError("cannot make an Ed25519 key pair".to_owned());
        let pair = Ed25519KeyPair::generate().map_err(failed)?;
        let private = pair.to_pkcs8v1().map_err(failed)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
        let encode = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der));
        Ok(Self {
            private_pem: encode("PRIVATE KEY", private.as_ref()),
            public_pem: encode("PUBLIC KEY", public.as_ref()),
        })
    }
}
