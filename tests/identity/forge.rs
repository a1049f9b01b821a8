//! Tokens of any kind, signed by hand: no library would make the bad ones.
use anyhow::Context;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs.
pub enum Key {
    Secret(Vec<u8>),
    Rsa(Box<rsa::KeyPair>),
    Ec(Box<EcdsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
}

impl Key {
    pub fn rsa() -> anyhow::Result<Self> {
        Ok(Self::Rsa(Box::new(rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?)))
    }

    pub fn ec() -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self::Ec(Box::new(pair)))
    }

    pub fn ed() -> anyhow::Result<Self> {
        Ok(Self::Ed(Box::new(Ed25519KeyPair::generate()?)))
    }

    /// A private key in PEM (Ed25519, PKCS#8), as services have one.
    pub fn of_service(pem: &str) -> anyhow::Result<Self> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body)?;
        Ok(Self::Ed(Box::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)?)))
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    pub fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                signature
            }
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }

    /// The public half as a key set holds it.
    pub fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Secret(secret) => json!({"kty": "oct", "kid": kid, "k": encoded(secret)}),
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let n = encoded(public.modulus().big_endian_without_leading_zero());
                let e = encoded(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e})
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": x, "y": y})
            }
            Self::Ed(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "key_ops": ["verify"], "kid": kid, "x": x})
            }
        }
    }

    /// The public half as X.509 writes it.
    pub fn public_der(&self) -> anyhow::Result<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Secret(_) => anyhow::bail!("a secret has no public half"),
            Self::Rsa(pair) => pair.public_key().as_der()?,
            Self::Ec(pair) => pair.public_key().as_der()?,
            Self::Ed(pair) => pair.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    pub fn public_pem(&self) -> anyhow::Result<String> {
        let body = STANDARD.encode(self.public_der()?);
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(64)
            .map(std::str::from_utf8)
            .collect::<Result<_, _>>()?;
        Ok(format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        ))
    }

    /// The header that a good token of this key has.
    pub fn header(&self, kid: Option<&str>) -> Value {
        let mut header = json!({"alg": self.algorithm(), "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        header
    }

    /// A token of header and claims as they stand, signed well.
    #[expect(clippy::needless_pass_by_value, reason = "rows name texts and values as they come")]
    pub fn token(&self, header: impl ToString, claims: impl ToString) -> anyhow::Result<String> {
        self.token_of_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    pub fn token_of_bytes(&self, header: &[u8], claims: &[u8]) -> anyhow::Result<String> {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.sign(message.as_bytes()).context("signing")?;
        Ok(format!("{message}.{}", encoded(signature)))
    }
}

pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
