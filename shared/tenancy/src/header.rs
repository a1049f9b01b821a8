//! The head of a token, read strictly: what it asks for decides nothing, and what we do not do is refused.
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::refusal::Refusal;

/// Of the identity providers' ids, none is longer.
const LONGEST_ID: usize = 200;
/// RFC 9068 names access tokens so; everything else that is signed (identity, logout, proof of possession) is no access
/// token.
const TYPES: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// Of a token that TenantService gave for an API key.
pub(crate) const API_KEY_TYPE: &str = "onekeel-api-key+jwt";

/// What a token says that it is. Each kind has rules of its own, so that none can be taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A user's or a service's.
    Access,
    /// One that was given for an API key.
    ApiKey,
}

/// What a token says of its signature.
pub(crate) struct Header {
    pub kind: Kind,
    pub algorithm: Algorithm,
    pub kid: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    /// Demands that we do not know.
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    cty: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
    /// A token that brings its key along, or says where to fetch it.
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
}

impl Header {
    /// Of a token with exactly three parts.
    pub fn read(token: &str) -> Result<Self, Refusal> {
        let mut parts = token.split('.');
        let (Some(head), Some(body), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Form);
        };
        if body.is_empty() || signature.is_empty() {
            return Err(Refusal::Form);
        }
        let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| Refusal::Form)?;
        // A list would do for a struct as well.
        if !head.trim_ascii_start().starts_with(b"{") {
            return Err(Refusal::Header);
        }
        let written: Written = serde_json::from_slice(&head).map_err(|_| Refusal::Header)?;
        written.check()
    }
}

impl Written {
    fn check(self) -> Result<Header, Refusal> {
        let demands = [&self.crit, &self.b64, &self.cty, &self.zip, &self.enc];
        let keys = [&self.jwk, &self.jku, &self.x5u, &self.x5c];
        if demands.into_iter().chain(keys).any(Option::is_some) {
            return Err(Refusal::Header);
        }
        let usual = |typ: &str| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ));
        let kind = match self.typ.as_deref() {
            Some(API_KEY_TYPE) => Kind::ApiKey,
            Some(typ) if !usual(typ) => return Err(Refusal::Header),
            _ => Kind::Access,
        };
        if self.kid.as_ref().is_some_and(|kid| kid.len() > LONGEST_ID) {
            return Err(Refusal::Header);
        }
        let algorithm = match self.alg.as_str() {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err(Refusal::Algorithm),
        };
        Ok(Header {
            kind,
            algorithm,
            kid: self.kid,
        })
    }
}
