//! What tokens say. A claim that comes twice is refused by the parser.
use onekeel_api::ClientId;
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Platform, Service, Tenant};
use crate::{Permissions, Role};

/// Audience of the tokens that servers of the suite give one another.
pub(crate) const INTERNAL_AUDIENCE: &str = "onekeel-internal";
/// Longest life of such a token, in seconds.
pub(crate) const LONGEST_SERVICE_LIFE: u64 = 120;
const LONGEST_USER: usize = 200;

/// Issuer, and key id, of a service's tokens.
pub(crate) fn service_issuer(service: &str) -> String {
    format!("onekeel:{service}")
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub iss: String,
    pub aud: serde_json::Value,
    pub exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(rename = "clientId", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    pub role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl Claims {
    /// The user or operator that an identity provider's token speaks for; never a service.
    pub fn into_user(self) -> Option<Caller> {
        let role = Role::parse(&self.role).filter(|role| *role != Role::Service)?;
        let user = self.user_id.or(self.sub)?;
        if user.is_empty() || user.len() > LONGEST_USER {
            return None;
        }
        let mut permissions = Permissions::of(role);
        if let Some(scope) = &self.scope {
            permissions = permissions.narrowed(scope);
        }
        if role.is_platform() {
            return Some(Caller::Platform(Platform::verified(&user, role, permissions)));
        }
        let client = ClientId::parse("clientId", &self.client_id?).ok()?;
        Some(Caller::Tenant(Tenant::verified(client, &user, role, permissions)))
    }

    /// The service `name` whose own key signed this; its life must be short and its tenant named.
    pub fn into_service(self, name: &str, now: u64, leeway: u64) -> Option<Caller> {
        if self.role != Role::Service.name() || self.exp > now + LONGEST_SERVICE_LIFE + leeway {
            return None;
        }
        let client = ClientId::parse("clientId", &self.client_id?).ok()?;
        Some(Caller::Service(Service::verified(name, client)))
    }
}
