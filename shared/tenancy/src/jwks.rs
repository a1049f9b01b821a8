//! Key sets as RFC 7517 writes them: what an identity provider publishes, and what services publish of theirs.
use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::{KeyError, VerifyingKey};

/// Bytes of a key set.
pub const LARGEST_KEY_SET: usize = 256 * 1024;
const MOST_KEYS: usize = 64;
const LONGEST_ID: usize = 200;

/// The keys of a set that verify tokens.
#[derive(Debug)]
pub struct KeySet {
    /// Each has a `kid`.
    pub keys: Vec<VerifyingKey>,
    /// Why each other key of the set is none of ours: for encryption, another algorithm, without a `kid`.
    pub left_out: Vec<String>,
}

#[derive(Deserialize)]
struct Written {
    keys: Vec<WrittenKey>,
}

#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// Of a secret.
    k: Option<IgnoredAny>,
    /// Of a private key.
    d: Option<IgnoredAny>,
}

impl KeySet {
    /// Reads a set. All of it is refused when it holds a secret or a private key, since its keeper has lost it, when a
    /// `kid` comes twice, and when no key is left to verify with.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > LARGEST_KEY_SET {
            return Err(KeyError(format!("the key set is larger than {LARGEST_KEY_SET} bytes")));
        }
        let written: Written = serde_json::from_slice(bytes).map_err(|error| {
            KeyError(format!(
                "not a key set: line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        if written.keys.len() > MOST_KEYS {
            return Err(KeyError(format!("the key set has more than {MOST_KEYS} keys")));
        }
        let (mut keys, mut left_out, mut ids) = (Vec::new(), Vec::new(), HashSet::new());
        for (place, key) in written.keys.iter().enumerate() {
            key.must_be_public()?;
            if let Some(id) = &key.kid
                && !ids.insert(id.as_str())
            {
                return Err(KeyError(format!("the kid {id:?} comes twice in the key set")));
            }
            match key.read() {
                Ok(key) => keys.push(key),
                Err(why) => left_out.push(format!("key {place}: {why}")),
            }
        }
        if keys.is_empty() {
            let why = left_out.join("; ");
            return Err(KeyError(format!("no key of the set verifies tokens: {why}")));
        }
        Ok(Self { keys, left_out })
    }
}

impl WrittenKey {
    fn must_be_public(&self) -> Result<(), KeyError> {
        let symmetric = self.alg.as_deref().is_some_and(|alg| alg.starts_with("HS"));
        if self.kty == "oct" || self.k.is_some() || symmetric {
            return Err(KeyError(
                "the key set holds a secret; it must hold public keys only".to_owned(),
            ));
        }
        if self.d.is_some() {
            return Err(KeyError(
                "the key set holds a private key; it must hold public keys only".to_owned(),
            ));
        }
        Ok(())
    }

    /// The key, or why it is none of ours.
    fn read(&self) -> Result<VerifyingKey, String> {
        let id = self.kid.as_deref().filter(|id| !id.is_empty()).ok_or("it has no kid")?;
        if id.len() > LONGEST_ID {
            return Err(format!("its kid is longer than {LONGEST_ID} bytes"));
        }
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return Err("its use is not sig".to_owned());
        }
        let verifies = |operations: &Vec<String>| operations.iter().any(|operation| operation == "verify");
        if self.key_ops.as_ref().is_some_and(|operations| !verifies(operations)) {
            return Err("its key_ops do not name verify".to_owned());
        }
        let (algorithm, names, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (part(self.n.as_ref())?, part(self.e.as_ref())?);
                (Algorithm::RS256, &["RS256"][..], DecodingKey::from_rsa_components(n, e))
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (part(self.x.as_ref())?, part(self.y.as_ref())?);
                (Algorithm::ES256, &["ES256"][..], DecodingKey::from_ec_components(x, y))
            }
            ("OKP", Some("Ed25519")) => {
                let x = part(self.x.as_ref())?;
                (
                    Algorithm::EdDSA,
                    &["EdDSA", "Ed25519"][..],
                    DecodingKey::from_ed_components(x),
                )
            }
            _ => return Err("it is neither RSA nor of P-256 or Ed25519".to_owned()),
        };
        if self.alg.as_deref().is_some_and(|alg| !names.contains(&alg)) {
            return Err(format!("its alg is not {}", names[0]));
        }
        let key = key.map_err(|_| "its numbers are broken")?;
        let key = VerifyingKey::public(algorithm, key).map_err(|error| error.to_string())?;
        Ok(key.with_id(id))
    }
}

fn part(text: Option<&String>) -> Result<&str, String> {
    text.map(String::as_str)
        .ok_or_else(|| "a part of it is missing".to_owned())
}

/// A key set of the public halves of `keys`, each under its own `kid`.
pub fn publish<'a>(keys: impl IntoIterator<Item = &'a VerifyingKey>) -> Result<Value, KeyError> {
    let written = keys.into_iter().map(|key| {
        let public = key
            .jwk()
            .ok_or_else(|| KeyError("a secret is not published".to_owned()))?;
        let mut value = serde_json::to_value(public).map_err(|_| KeyError("the key cannot be written".to_owned()))?;
        value["kid"] = json!(key.id());
        value["use"] = json!("sig");
        Ok(value)
    });
    Ok(json!({ "keys": written.collect::<Result<Vec<_>, KeyError>>()? }))
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
