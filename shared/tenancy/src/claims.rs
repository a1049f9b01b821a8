//! What tokens say. A claim that comes twice is refused by the parser.
use std::collections::BTreeMap;
use std::fmt;

use onekeel_api::ClientId;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::caller::{ApiKeyId, Caller, Platform, Service, Tenant};
use crate::refusal::Refusal;
use crate::{KeyError, Permissions, Role};

/// Audience of the tokens that servers of the suite give one another.
pub(crate) const INTERNAL_AUDIENCE: &str = "onekeel-internal";
/// Longest life of such a token, in seconds.
pub(crate) const LONGEST_SERVICE_LIFE: u64 = 120;
/// Issuer of the tokens that TenantService gives for API keys; no service has such a name.
pub(crate) const API_KEY_ISSUER: &str = "onekeel:api-keys";
/// Audience of such a token.
pub(crate) const API_KEY_AUDIENCE: &str = "onekeel-api";
/// Longest life of such a token, in seconds.
pub(crate) const LONGEST_API_KEY_LIFE: u64 = 900;
const LONGEST_USER: usize = 200;
const SUBJECT: &str = "sub";
/// Claims with a meaning of their own.
const REGISTERED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// Issuer of a service's tokens, and what their key's id begins with.
pub(crate) fn service_issuer(service: &str) -> String {
    format!("onekeel:{service}")
}

/// Which claims of a user's token say what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// The tenant.
    pub client: String,
    /// The user; where it is absent, `sub` counts.
    pub user: String,
    /// The role.
    pub role: String,
    /// Permissions that narrow the role, if it is there.
    pub scope: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            client: "clientId".to_owned(),
            user: "userId".to_owned(),
            role: "role".to_owned(),
            scope: "scope".to_owned(),
        }
    }
}

impl ClaimNames {
    /// Refuses names that mean two things at once.
    pub(crate) fn check(&self) -> Result<(), KeyError> {
        let names = [&self.client, &self.user, &self.role, &self.scope];
        for (place, name) in names.iter().enumerate() {
            let taken = names[..place].contains(name) || REGISTERED.contains(&name.as_str());
            if name.is_empty() || taken || (name.as_str() == SUBJECT && *name != &self.user) {
                return Err(KeyError(format!("{name:?} cannot be the name of this claim")));
            }
        }
        Ok(())
    }
}

/// The claims of a token that we make.
#[derive(Debug, Serialize)]
pub(crate) struct Claims {
    pub iss: String,
    pub aud: String,
    pub exp: u64,
    pub iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(rename = "clientId", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    pub role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Of an API key.
    #[serde(rename = "keyId", skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Which secret of the key was shown.
    #[serde(rename = "secretId", skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
}

/// The claims of a token that we were given, each once.
#[derive(Debug)]
pub(crate) struct Said(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;

        impl<'de> Visitor<'de> for Once {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let mut claims = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim comes twice"));
                    }
                }
                Ok(Said(claims))
            }
        }

        deserializer.deserialize_map(Once)
    }
}

impl Said {
    /// `exp`, a whole number of seconds.
    pub fn expires(&self) -> Option<u64> {
        self.0.get("exp")?.as_u64()
    }

    /// Whether one issuer is named; which one was looked at before, and would have been in a list as well.
    pub fn has_one_issuer(&self) -> bool {
        self.needed("iss").is_ok()
    }

    /// Whether the token claims to be of the future; many tokens do not say when they were issued.
    pub fn is_issued_by(&self, now: u64) -> bool {
        let issued = self.0.get("iat");
        issued.is_none_or(|issued| issued.as_u64().is_some_and(|issued| issued <= now))
    }

    /// A claim that may be absent, and is a text where it is not.
    fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            Some(value) if !value.is_string() => Err(Refusal::Claims),
            value => Ok(value.and_then(Value::as_str)),
        }
    }

    fn needed(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?.ok_or(Refusal::Claims)
    }

    fn client(&self, name: &str) -> Result<ClientId, Refusal> {
        let client = ClientId::parse(name, self.needed(name)?).map_err(|_| Refusal::Claims)?;
        // Stands for the platform where a trail is written; no tenant has it.
        if client == ClientId::PLATFORM {
            return Err(Refusal::Claims);
        }
        Ok(client)
    }

    /// The user or operator that an identity provider's token speaks for; never a service, and an operator only where
    /// its key may sign for one.
    pub fn into_user(self, names: &ClaimNames, platform: bool) -> Result<Caller, Refusal> {
        let role = Role::parse(self.needed(&names.role)?).filter(|role| *role != Role::Service);
        let role = role.ok_or(Refusal::Claims)?;
        let user = match self.text(&names.user)? {
            Some(user) => user,
            None => self.needed(SUBJECT)?,
        };
        if user.is_empty() || user.len() > LONGEST_USER || user.chars().any(char::is_control) {
            return Err(Refusal::Claims);
        }
        let scope = self.text(&names.scope)?;
        let granted = |role| {
            let permissions = Permissions::of(role);
            scope.map_or(permissions, |scope| permissions.narrowed(scope))
        };
        let permissions = granted(role);
        if let Some(in_support) = role.in_support() {
            // An operator who is of a tenant at the same time is neither.
            if !platform || self.0.contains_key(&names.client) {
                return Err(Refusal::Claims);
            }
            let operator = Platform::verified(user, role, permissions, granted(in_support));
            return Ok(Caller::Platform(operator));
        }
        let client = self.client(&names.client)?;
        Ok(Caller::Tenant(Tenant::verified(client, user, role, permissions)))
    }

    /// The program whose API key was given this token: as one of a tenant's users, with its role and scope in words of
    /// ours, whatever an identity provider calls them. Never an operator, never a service.
    pub fn into_api_key(self, now: u64, leeway: u64) -> Result<Caller, Refusal> {
        let brief = |expires| expires <= now + LONGEST_API_KEY_LIFE + leeway;
        let role = Role::parse(self.needed("role")?).filter(|role| role.is_of_tenant());
        let (Some(role), true) = (role, self.expires().is_some_and(brief)) else {
            return Err(Refusal::Claims);
        };
        let id = |name: &str| Uuid::try_parse(self.needed(name)?).map_err(|_| Refusal::Claims);
        let key = ApiKeyId {
            key: id("keyId")?,
            secret: id("secretId")?,
        };
        if self.needed(SUBJECT)? != key.user() {
            return Err(Refusal::Claims);
        }
        let permissions = Permissions::of(role).narrowed(self.needed("scope")?);
        let client = self.client("clientId")?;
        Ok(Caller::Tenant(Tenant::of_api_key(client, key, role, permissions)))
    }

    /// The service `name` whose own key signed this; its life must be short and its tenant named.
    pub fn into_service(self, name: &str, now: u64, leeway: u64) -> Result<Caller, Refusal> {
        let brief = self
            .expires()
            .is_some_and(|expires| expires <= now + LONGEST_SERVICE_LIFE + leeway);
        if self.needed("role")? != Role::Service.name() || !brief {
            return Err(Refusal::Claims);
        }
        Ok(Caller::Service(Service::verified(name, self.client("clientId")?)))
    }
}
