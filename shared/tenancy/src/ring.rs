//! All keys that are believed at one time, and what each may sign for.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation};

use crate::claims::{API_KEY_AUDIENCE, API_KEY_ISSUER, INTERNAL_AUDIENCE, service_issuer};
use crate::header::Kind;
use crate::{ClaimNames, KeyError, VerifyingKey};

/// Keys at once.
const MOST_KEYS: usize = 256;
/// Keys without a name: each is tried for a token whose `kid` names no key.
const MOST_UNNAMED: usize = 8;
/// What only our own services' keys are called.
pub(crate) const RESERVED: &str = "onekeel:";
pub(crate) const LEEWAY_SECONDS: u64 = 30;
/// The one service whose own key also signs tokens for API keys.
pub(crate) const KEY_ISSUING_SERVICE: &str = "tenant";

/// What a key may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Tokens of tenants' users, and where `platform` says so, of platform operators; never a service's.
    Users {
        /// Whether it signs for operators as well.
        platform: bool,
    },
    /// Tokens of the service with this name, and nothing else; TenantService's signs for tenants' API keys as well.
    Service(String),
}

/// A key with what it may sign.
pub type TrustedKey = (VerifyingKey, Trust);

/// What a user's token must say.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// `iss`
    pub issuer: String,
    /// `aud`
    pub audience: String,
    /// Which claims are read.
    pub names: ClaimNames,
    /// From now to `exp` at most.
    pub longest_life: Duration,
}

/// The `kid` of a service's own key: nobody can choose it, since it is made of the key.
pub fn service_key_id(service: &str, key: &VerifyingKey) -> Result<String, KeyError> {
    let thumbprint = key.thumbprint().filter(|_| key.is_ed25519());
    let thumbprint = thumbprint.ok_or_else(|| KeyError(format!("the key of {service} must be an Ed25519 key")))?;
    Ok(format!("{}:{thumbprint}", service_issuer(service)))
}

/// The keys of one moment; never changed, only exchanged as a whole.
pub(crate) struct KeyRing {
    named: HashMap<String, Held>,
    unnamed: Vec<Held>,
    /// Grows when a key is gone: what it has verified counts no more.
    pub epoch: u64,
}

pub(crate) struct Held {
    pub key: VerifyingKey,
    pub trust: Trust,
    rules: Validation,
    /// Only of keys that sign for API keys.
    for_api_keys: Option<Validation>,
}

impl Held {
    /// What a token of this kind must say; nothing where the key signs none.
    pub fn rules(&self, kind: Kind) -> Option<&Validation> {
        match kind {
            Kind::Access => Some(&self.rules),
            Kind::ApiKey => self.for_api_keys.as_ref(),
        }
    }
}

impl KeyRing {
    pub fn new(rules: &TokenRules, keys: Vec<TrustedKey>, epoch: u64) -> Result<Self, KeyError> {
        if keys.len() > MOST_KEYS {
            return Err(KeyError(format!("more than {MOST_KEYS} keys are configured")));
        }
        let (mut named, mut unnamed) = (HashMap::new(), Vec::new());
        for (mut key, trust) in keys {
            if let Trust::Service(name) = &trust {
                key.id = Some(service_key_id(name, &key)?);
            } else if key.id.as_deref().is_some_and(|id| id.starts_with(RESERVED)) {
                return Err(KeyError(format!(
                    "a kid of the identity provider begins with {RESERVED}, as only services' own do"
                )));
            }
            let issues = matches!(&trust, Trust::Service(name) if name == KEY_ISSUING_SERVICE);
            let held = Held {
                rules: validation(&key, &trust, rules),
                for_api_keys: issues.then(|| demanding(&key, API_KEY_ISSUER, API_KEY_AUDIENCE)),
                key,
                trust,
            };
            match held.key.id.clone() {
                None => unnamed.push(held),
                Some(id) => {
                    if named.contains_key(&id) {
                        return Err(KeyError(format!("two keys have the kid {id:?}")));
                    }
                    named.insert(id, held);
                }
            }
        }
        if unnamed.len() > MOST_UNNAMED {
            return Err(KeyError(format!(
                "more than {MOST_UNNAMED} keys have no kid; put them into a key set (JWKS)"
            )));
        }
        Ok(Self { named, unnamed, epoch })
    }

    /// The keys that may have signed a token: the one that its `kid` names, else those without a name.
    pub fn candidates<'a>(&'a self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Held> {
        let named = kid.and_then(|kid| self.named.get(kid));
        let reserved = kid.is_some_and(|kid| kid.starts_with(RESERVED));
        let unnamed = if named.is_some() || reserved {
            &[][..]
        } else {
            &self.unnamed
        };
        let fits = move |held: &&Held| held.key.algorithm == algorithm;
        named.into_iter().chain(unnamed).filter(fits)
    }

    /// The keys that sign for API keys, the old and the next ones too.
    pub fn that_sign_for_api_keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        let issuing = self.all().filter(|held| held.for_api_keys.is_some());
        issuing.map(|held| &held.key)
    }

    pub fn knows(&self, kid: &str) -> bool {
        self.named.contains_key(kid)
    }

    /// Keys for users, and keys for services.
    pub fn counts(&self) -> [usize; 2] {
        let services = self
            .all()
            .filter(|held| matches!(held.trust, Trust::Service(_)))
            .count();
        [self.all().count() - services, services]
    }

    /// Whether a key of `earlier` is gone, or may sign less or other things than it might.
    pub fn lacks_any_of(&self, earlier: &Self) -> bool {
        let mark = |held: &Held| (held.key.id.clone(), held.key.print, format!("{:?}", held.trust));
        let present: HashSet<_> = self.all().map(mark).collect();
        earlier.all().any(|held| !present.contains(&mark(held)))
    }

    fn all(&self) -> impl Iterator<Item = &Held> {
        self.named.values().chain(&self.unnamed)
    }
}

fn validation(key: &VerifyingKey, trust: &Trust, users: &TokenRules) -> Validation {
    match trust {
        Trust::Users { .. } => demanding(key, &users.issuer, &users.audience),
        Trust::Service(name) => demanding(key, &service_issuer(name), INTERNAL_AUDIENCE),
    }
}

fn demanding(key: &VerifyingKey, issuer: &str, audience: &str) -> Validation {
    let mut rules = Validation::new(key.algorithm);
    rules.leeway = LEEWAY_SECONDS;
    rules.validate_nbf = true;
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    rules
}
