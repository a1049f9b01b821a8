//! Tokens that we make: a service's own for the next service, and users' for development and tests.
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use onekeel_api::{ClientId, Fault};
use quick_cache::sync::Cache;

use crate::claims::{Claims, INTERNAL_AUDIENCE, service_issuer};
use crate::{KeyError, Role, Tenant};

const LIFE_SECONDS: u64 = 60;
/// Less than half of a token's life, so that none is sent that ends on the way.
const REUSED_FOR: Duration = Duration::from_secs(25);
const CACHED_TOKENS: usize = 10_000;

/// Signs a service's calls to other services with that service's own Ed25519 key.
pub struct Signer {
    issuer: String,
    name: String,
    key: EncodingKey,
    cache: Cache<ClientId, (Arc<str>, Instant)>,
}

impl Signer {
    /// A signer for the service `name` with its private key in PEM (PKCS#8, Ed25519).
    pub fn from_pem(name: &str, private_pem: &str) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ed_pem(private_pem.as_bytes());
        let key = key.map_err(|_| KeyError("the service key is no Ed25519 private key in PEM (PKCS#8)".to_owned()))?;
        Ok(Self {
            issuer: service_issuer(name),
            name: name.to_owned(),
            key,
            cache: Cache::new(CACHED_TOKENS),
        })
    }

    /// A short token with which the service acts for `tenant`.
    pub fn token_for(&self, tenant: &Tenant) -> Result<Arc<str>, Fault> {
        let (client, now) = (tenant.id(), Instant::now());
        if let Some((token, made)) = self.cache.get(&client)
            && now.duration_since(made) < REUSED_FOR
        {
            return Ok(token);
        }
        let issued = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: INTERNAL_AUDIENCE.into(),
            exp: issued + LIFE_SECONDS,
            iat: Some(issued),
            sub: Some(self.name.clone()),
            user_id: None,
            client_id: Some(client.to_string()),
            role: Role::Service.name().to_owned(),
            scope: None,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.issuer.clone());
        let token: Arc<str> = encode(&header, &claims, &self.key).map_err(Fault::internal)?.into();
        self.cache.insert(client, (token.clone(), now));
        Ok(token)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}

/// What a user's token says.
#[derive(Debug, Clone)]
pub struct UserToken<'a> {
    /// `iss`
    pub issuer: &'a str,
    /// `aud`
    pub audience: &'a str,
    /// `clientId`; none for platform roles.
    pub client: Option<ClientId>,
    /// `sub`
    pub user: &'a str,
    /// `role`
    pub role: Role,
    /// `scope`
    pub scope: Option<&'a str>,
    /// From now to `exp`.
    pub life: Duration,
}

/// Signs a user's token with the HS256 secret; identity providers do this in production.
pub fn issue_user_token(secret: &[u8], token: &UserToken<'_>) -> Result<String, KeyError> {
    let issued = jsonwebtoken::get_current_timestamp();
    let claims = Claims {
        iss: token.issuer.to_owned(),
        aud: token.audience.into(),
        exp: issued + token.life.as_secs(),
        iat: Some(issued),
        sub: None,
        user_id: Some(token.user.to_owned()),
        client_id: token.client.map(|id| id.to_string()),
        role: token.role.name().to_owned(),
        scope: token.scope.map(str::to_owned),
    };
    let key = EncodingKey::from_secret(secret);
    encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|error| KeyError(format!("cannot sign: {error}")))
}
