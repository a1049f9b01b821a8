//! `onekeel token`
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use onekeel_api::ClientId;
use onekeel_server::{Secret, SecretSource};
use onekeel_tenancy::{Role, UserToken, issue_user_token};

/// Prints a user's token, signed with JWT_SECRET; for development, an identity provider does this in production.
#[derive(Args)]
pub struct Token {
    /// admin, manager, agent or viewer of a tenant; platform_admin or platform_viewer without one.
    #[arg(long)]
    role: String,
    /// The tenant's id.
    #[arg(long, value_name = "UUID")]
    client: Option<String>,
    /// The user's id.
    #[arg(long, default_value = "dev")]
    user: String,
    /// Permissions to narrow the role to, for example "leads.read quota.read".
    #[arg(long)]
    scope: Option<String>,
    /// Minutes until it expires.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Issuer that the servers expect.
    #[arg(long, env = "JWT_ISSUER")]
    issuer: String,
    /// Audience that the servers expect.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "onekeel")]
    audience: String,
    /// The secret that the servers know.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    jwt_secret: Option<Secret>,
    /// File that holds JWT_SECRET.
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE")]
    jwt_secret_file: Option<PathBuf>,
}

impl Token {
    pub fn run(self) -> anyhow::Result<()> {
        let Some(role) = Role::parse(&self.role).filter(|role| *role != Role::Service) else {
            bail!(
                "--role {}: must be admin, manager, agent, viewer, platform_admin or platform_viewer",
                self.role
            );
        };
        let client = match (&self.client, role.is_platform()) {
            (Some(id), false) => {
                Some(ClientId::parse("--client", id).map_err(|_| anyhow::anyhow!("--client {id}: must be a UUID"))?)
            }
            (None, true) => None,
            (None, false) => bail!("--client is required for the role {role}"),
            (Some(_), true) => bail!("--client does not go with the role {role}, which spans tenants"),
        };
        let secret = SecretSource {
            name: "JWT_SECRET",
            value: self.jwt_secret.as_ref(),
            file: self.jwt_secret_file.as_ref(),
        };
        let token = UserToken {
            issuer: &self.issuer,
            audience: &self.audience,
            client,
            user: &self.user,
            role,
            scope: self.scope.as_deref(),
            life: Duration::from_secs(self.minutes * 60),
        };
        println!("{}", issue_user_token(secret.required()?.expose().as_bytes(), &token)?);
        Ok(())
    }
}
