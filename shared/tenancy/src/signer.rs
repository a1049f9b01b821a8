//! Tokens that we make: a service's own for the next service, and users' for development and tests.
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use onekeel_api::{ClientId, Fault};
use quick_cache::sync::Cache;

use crate::claims::{
    API_KEY_AUDIENCE, API_KEY_ISSUER, Claims, INTERNAL_AUDIENCE, LONGEST_API_KEY_LIFE, service_issuer,
};
use crate::header::API_KEY_TYPE;
use crate::key::thumbprint;
use crate::ring::KEY_ISSUING_SERVICE;
use crate::{KeyError, Role, Tenant};

const LIFE_SECONDS: u64 = 120;
/// So that none is sent that ends on the way, which takes ten seconds at most.
const REUSED_FOR: Duration = Duration::from_secs(100);
const CACHED_TOKENS: usize = 20_000;

/// Signs a service's calls to other services with that service's own Ed25519 key, which may be exchanged at any time.
pub struct Signer {
    issuer: String,
    name: String,
    own: ArcSwap<OwnKey>,
}

/// A key with the tokens that it has signed: they go with it.
struct OwnKey {
    key: EncodingKey,
    id: String,
    cache: Cache<ClientId, (Arc<str>, Instant)>,
}

impl OwnKey {
    fn from_pem(service: &str, private_pem: &str) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ed_pem(private_pem.as_bytes());
        let broken = || KeyError("the service key is no Ed25519 private key in PEM (PKCS#8)".to_owned());
        let key = key.map_err(|_| broken())?;
        let public = Jwk::from_encoding_key(&key, Algorithm::EdDSA).map_err(|_| broken())?;
        let id = format!("{}:{}", service_issuer(service), thumbprint(&public)?);
        Ok(Self {
            key,
            id,
            cache: Cache::new(CACHED_TOKENS),
        })
    }
}

impl Signer {
    /// A signer for the service `name` with its private key in PEM (PKCS#8, Ed25519).
    pub fn from_pem(name: &str, private_pem: &str) -> Result<Self, KeyError> {
        Ok(Self {
            issuer: service_issuer(name),
            name: name.to_owned(),
            own: ArcSwap::from_pointee(OwnKey::from_pem(name, private_pem)?),
        })
    }

    /// Signs with another key from now on; whether it is another one. On an error the old one stays.
    pub fn replace(&self, private_pem: &str) -> Result<bool, KeyError> {
        let next = OwnKey::from_pem(&self.name, private_pem)?;
        let other = next.id != self.own.load().id;
        if other {
            self.own.store(Arc::new(next));
        }
        Ok(other)
    }

    /// The service that it signs for.
    pub fn service(&self) -> &str {
        &self.name
    }

    /// The `kid` of the key that it signs with.
    pub fn key_id(&self) -> String {
        self.own.load().id.clone()
    }

    /// A short token with which the service acts for `tenant`.
    pub fn token_for(&self, tenant: &Tenant) -> Result<Arc<str>, Fault> {
        let (client, now, own) = (tenant.id(), Instant::now(), self.own.load());
        if let Some((token, made)) = own.cache.get(&client)
            && now.duration_since(made) < REUSED_FOR
        {
            return Ok(token);
        }
        let issued = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: INTERNAL_AUDIENCE.to_owned(),
            exp: issued + LIFE_SECONDS,
            iat: issued,
            sub: Some(self.name.clone()),
            user_id: None,
            client_id: Some(client.to_string()),
            role: Role::Service.name().to_owned(),
            scope: None,
            key_id: None,
            secret_id: None,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(own.id.clone());
        let token: Arc<str> = encode(&header, &claims, &own.key).map_err(Fault::internal)?.into();
        own.cache.insert(client, (token.clone(), now));
        Ok(token)
    }
}

impl Signer {
    /// A token for the API key that `holder` has shown. Only TenantService signs such, and nobody believes another's.
    pub fn api_key_token(&self, holder: &Tenant, token: &ApiKeyToken<'_>) -> Result<String, Fault> {
        let key = holder.api_key().filter(|_| self.name == KEY_ISSUING_SERVICE);
        let key =
            key.ok_or_else(|| Fault::internal("a token is given for a key that was shown, and by TenantService"))?;
        if !token.role.is_of_tenant() || token.expires > token.issued + LONGEST_API_KEY_LIFE {
            return Err(Fault::internal("a token of this role or life would not be believed"));
        }
        let claims = Claims {
            iss: API_KEY_ISSUER.to_owned(),
            aud: API_KEY_AUDIENCE.to_owned(),
            exp: token.expires,
            iat: token.issued,
            sub: Some(key.user()),
            user_id: None,
            client_id: Some(holder.id().to_string()),
            role: token.role.name().to_owned(),
            scope: Some(token.scope.to_owned()),
            key_id: Some(key.key.to_string()),
            secret_id: Some(key.secret.to_string()),
        };
        let own = self.own.load();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(API_KEY_TYPE.to_owned());
        header.kid = Some(own.id.clone());
        encode(&header, &claims, &own.key).map_err(Fault::internal)
    }
}

/// What a token for an API key says of it.
#[derive(Debug, Clone)]
pub struct ApiKeyToken<'a> {
    /// The key's role.
    pub role: Role,
    /// Permissions that narrow it, with blanks between.
    pub scope: &'a str,
    /// From when, in seconds since 1970.
    pub issued: u64,
    /// Until when.
    pub expires: u64,
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
        aud: token.audience.to_owned(),
        exp: issued + token.life.as_secs(),
        iat: issued,
        sub: None,
        user_id: Some(token.user.to_owned()),
        client_id: token.client.map(|id| id.to_string()),
        role: token.role.name().to_owned(),
        scope: token.scope.map(str::to_owned),
        key_id: None,
        secret_id: None,
    };
    let key = EncodingKey::from_secret(secret);
    encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|error| KeyError(format!("cannot sign: {error}")))
}
