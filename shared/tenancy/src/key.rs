//! Keys that verify tokens, each pinned to one algorithm, and the pairs that services sign with.
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, RSAKeyParameters, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey};

/// RFC 7518 section 3.2: an HS256 key is at least as long as its hash.
const SHORTEST_SECRET: usize = 32;
/// RFC 7518 section 3.3 for the shortest; the longest bounds what a signature may cost.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The largest exponent that the verification takes.
const LONGEST_EXPONENT: usize = 4;

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
    /// Tells keys apart without showing them.
    pub(crate) print: [u8; 32],
    /// The public half; none of a secret.
    public: Option<Jwk>,
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
            print: print(Algorithm::HS256, secret),
            public: None,
        })
    }

    /// A public key in PEM: Ed25519 for `EdDSA`, P-256 for ES256, RSA of 2048 to 8192 bits for RS256.
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
        Self::public(algorithm, key)
    }

    /// The public keys of a PEM text, one after the other; at least one.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, KeyError> {
        let blocks = pem::parse_many(text).map_err(|_| KeyError("not a text in PEM".to_owned()))?;
        if blocks.is_empty() {
            return Err(KeyError("there is no public key in PEM".to_owned()));
        }
        blocks.iter().map(|block| Self::from_pem(&pem::encode(block))).collect()
    }

    /// A public key that is fit for its algorithm; one that no signature could ever fit is refused here.
    pub(crate) fn public(algorithm: Algorithm, key: DecodingKey) -> Result<Self, KeyError> {
        let refused = |why: &str| KeyError(why.to_owned());
        match algorithm {
            Algorithm::EdDSA => {
                let bytes = key.try_get_as_bytes().map_err(|_| refused("the key has no bytes"))?;
                ParsedPublicKey::new(&ED25519, bytes).map_err(|_| refused("not a public key of Ed25519"))?;
            }
            Algorithm::ES256 => {
                let point = key.try_get_as_bytes().map_err(|_| refused("the key has no bytes"))?;
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .map_err(|_| refused("an EC key must be a point of the curve P-256"))?;
            }
            _ => {}
        }
        let public = Jwk::from_decoding_key(&key, Some(algorithm)).map_err(|_| refused("the public key is broken"))?;
        if let AlgorithmParameters::RSA(parts) = &public.algorithm {
            check_rsa(parts)?;
        }
        let thumbprint = thumbprint(&public)?;
        Ok(Self {
            id: None,
            algorithm,
            key,
            print: print(algorithm, thumbprint.as_bytes()),
            public: Some(public),
        })
    }

    /// Names the key: tokens with this `kid` are verified with it, tokens with another are not.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its name.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// As tokens' headers call its algorithm.
    pub fn algorithm(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    /// Whether it is a pair's public half on Ed25519, as services sign with.
    pub fn is_ed25519(&self) -> bool {
        self.algorithm == Algorithm::EdDSA
    }

    /// The thumbprint of RFC 7638; a secret has none that may be shown.
    pub fn thumbprint(&self) -> Option<String> {
        thumbprint(self.public.as_ref()?).ok()
    }

    pub(crate) fn jwk(&self) -> Option<&Jwk> {
        self.public.as_ref()
    }
}

fn check_rsa(parts: &RSAKeyParameters) -> Result<(), KeyError> {
    let number = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let (modulus, exponent) = (number(&parts.n), number(&parts.e));
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&(modulus.len() * 8 - unused)) {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        return Err(KeyError(format!("an RSA key must have {least} to {most} bits")));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !odd(&modulus) || !odd(&exponent) || exponent == [1] || exponent.len() > LONGEST_EXPONENT {
        return Err(KeyError(
            "the modulus or the exponent of an RSA key is broken".to_owned(),
        ));
    }
    Ok(())
}

pub(crate) fn thumbprint(public: &Jwk) -> Result<String, KeyError> {
    let made = public.thumbprint(ThumbprintHash::SHA256);
    made.map_err(|_| KeyError("the key has no thumbprint".to_owned()))
}

fn print(algorithm: Algorithm, key: &[u8]) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    hash.update(format!("{algorithm:?}\0").as_bytes());
    hash.update(key);
    let mut print = [0; 32];
    print.copy_from_slice(hash.finish().as_ref());
    print
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
