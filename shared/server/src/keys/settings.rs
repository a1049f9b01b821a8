//! What can be set about tokens: whose are believed, what they must say, and what this service signs with.
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use onekeel_tenancy::{ClaimNames, TokenRules, Trust, VerifyingKey};

use crate::{Secret, SecretSource};

/// Where keys of users' tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeySource {
    /// JWT_SECRET
    Secret,
    /// JWT_PUBLIC_KEY_FILE
    PublicKeys,
    /// JWT_JWKS_FILE
    JwksFile,
    /// JWT_JWKS_URL
    JwksUrl,
}

/// What can be set about tokens.
#[derive(Args, Debug, Clone)]
pub struct KeySettings {
    /// Secret of users' tokens signed with HS256, at least 32 bytes; required where there is no JWT_PUBLIC_KEY_FILE,
    /// JWT_JWKS_FILE or JWT_JWKS_URL.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret: Option<Secret>,
    /// File that holds JWT_SECRET.
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// Public keys of users' tokens in PEM: Ed25519, P-256 or RSA; several files with commas between. New ones are taken
    /// without a restart.
    #[arg(long, env = "JWT_PUBLIC_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    pub jwt_public_key_file: Vec<PathBuf>,
    /// Key set (JWKS) of the identity provider. A new one is taken without a restart.
    #[arg(long, env = "JWT_JWKS_FILE", value_name = "FILE")]
    pub jwt_jwks_file: Option<PathBuf>,
    /// Where the identity provider publishes its key set (JWKS), as `https://…`; fetched at the start and ever again.
    #[arg(long, env = "JWT_JWKS_URL", value_name = "URL")]
    pub jwt_jwks_url: Option<String>,
    /// Authorities in PEM for the host of JWT_JWKS_URL, instead of those that browsers trust.
    #[arg(long, env = "JWT_JWKS_CA_FILE", value_name = "FILE")]
    pub jwt_jwks_ca_file: Option<PathBuf>,
    /// Lets JWT_JWKS_URL be `http://` on another machine: whoever sits between can make himself every user then.
    #[arg(long, env = "JWT_JWKS_ALLOW_HTTP", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub jwt_jwks_allow_http: bool,
    /// Seconds between two looks at JWT_JWKS_URL, a tenth more or less. A key that the set no longer has is refused after
    /// as long at most.
    #[arg(long, env = "JWT_JWKS_REFRESH_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub jwt_jwks_refresh_seconds: u64,
    /// Seconds for which the keys of JWT_JWKS_URL are believed when it cannot be fetched any more.
    #[arg(long, env = "JWT_JWKS_KEEP_SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub jwt_jwks_keep_seconds: u64,
    /// Sources whose keys may sign for platform operators as well; several with commas between.
    #[arg(
        long,
        env = "JWT_PLATFORM_SOURCES",
        default_value = "secret",
        value_enum,
        value_delimiter = ','
    )]
    pub jwt_platform_sources: Vec<KeySource>,
    /// Issuer of users' tokens.
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: String,
    /// Audience of users' tokens.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "onekeel")]
    pub jwt_audience: String,
    /// Claim that names the tenant by its id.
    #[arg(long, env = "JWT_CLIENT_CLAIM", default_value = "clientId", value_name = "CLAIM")]
    pub jwt_client_claim: String,
    /// Claim that names the user; where a token lacks it, `sub` counts.
    #[arg(long, env = "JWT_USER_CLAIM", default_value = "userId", value_name = "CLAIM")]
    pub jwt_user_claim: String,
    /// Claim that names the role.
    #[arg(long, env = "JWT_ROLE_CLAIM", default_value = "role", value_name = "CLAIM")]
    pub jwt_role_claim: String,
    /// Claim that narrows the role to permissions, with blanks between; a token may lack it.
    #[arg(long, env = "JWT_SCOPE_CLAIM", default_value = "scope", value_name = "CLAIM")]
    pub jwt_scope_claim: String,
    /// Seconds for which a user's token may be good at most; one that is good for longer is refused.
    #[arg(long, env = "JWT_LONGEST_LIFE_SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(60..=2_592_000))]
    pub jwt_longest_life_seconds: u64,
    /// This service's own private key in PEM (Ed25519, PKCS#8), for calls to other services;
    /// required, here or in a file.
    #[arg(long, env = "SERVICE_KEY", hide_env_values = true, value_name = "PEM")]
    pub service_key: Option<Secret>,
    /// File that holds SERVICE_KEY. Another key is taken without a restart.
    #[arg(long, env = "SERVICE_KEY_FILE", value_name = "FILE")]
    pub service_key_file: Option<PathBuf>,
    /// Folder with the services' public keys (Ed25519), `<service>.pub` in PEM or `<service>.jwks`; several keys in a file
    /// while one takes the other's place. Changes are taken without a restart.
    #[arg(long, env = "SERVICE_PEERS_DIR", value_name = "FOLDER")]
    pub service_peers_dir: PathBuf,
}

impl KeySettings {
    pub(super) fn rules(&self) -> TokenRules {
        TokenRules {
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            names: ClaimNames {
                client: self.jwt_client_claim.clone(),
                user: self.jwt_user_claim.clone(),
                role: self.jwt_role_claim.clone(),
                scope: self.jwt_scope_claim.clone(),
            },
            longest_life: Duration::from_secs(self.jwt_longest_life_seconds),
        }
    }

    /// What the keys of a source may sign for.
    pub(super) fn trust(&self, source: KeySource) -> Trust {
        let platform = self.jwt_platform_sources.contains(&source);
        Trust::Users { platform }
    }

    pub(super) fn secret(&self) -> anyhow::Result<Option<VerifyingKey>> {
        let secret = SecretSource {
            name: "JWT_SECRET",
            value: self.jwt_secret.as_ref(),
            file: self.jwt_secret_file.as_ref(),
        };
        let secret = secret.optional()?;
        let key = secret.map(|secret| VerifyingKey::hs256(secret.expose().as_bytes()));
        key.transpose().context("JWT_SECRET")
    }

    /// This service's private key as it is now.
    pub(super) fn own_key(&self) -> anyhow::Result<Secret> {
        let key = SecretSource {
            name: "SERVICE_KEY",
            value: self.service_key.as_ref(),
            file: self.service_key_file.as_ref(),
        };
        key.required()
    }
}
