//! `onekeel token`
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use onekeel_api::ClientId;
use onekeel_server::{Secret, SecretSource};
use onekeel_tenancy::{Role, UserToken, issue_user_token};
use serde::Serialize;

use super::{WrongUsage, print_json};

/// Prints a user's token, signed with JWT_SECRET; for development, an identity provider does this in production.
#[derive(Args)]
#[command(after_help = "Examples:
  JWT_ISSUER=https://login.example JWT_SECRET_FILE=jwt onekeel token --role platform_admin
  onekeel token --role agent --client 01a20b12-80ab-7463-a015-80e1156cec5e --scope 'leads.read' --json")]
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
    /// Prints JSON: the token, and when it expires.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Issued {
    token: String,
    expires_at: u64,
}

impl Token {
    pub fn run(self) -> anyhow::Result<()> {
        let Some(role) = Role::parse(&self.role).filter(|role| *role != Role::Service) else {
            return Err(WrongUsage(format!(
                "--role {}: must be admin, manager, agent, viewer, platform_admin or platform_viewer",
                self.role
            ))
            .into());
        };
        let client = match (&self.client, role.is_platform()) {
            (Some(id), false) => Some(
                ClientId::parse("--client", id).map_err(|_| WrongUsage(format!("--client {id}: must be a UUID")))?,
            ),
            (None, true) => None,
            (None, false) => return Err(WrongUsage(format!("--client is required for the role {role}")).into()),
            (Some(_), true) => {
                return Err(WrongUsage(format!(
                    "--client does not go with the role {role}, which spans tenants"
                ))
                .into());
            }
        };
        let secret = SecretSource {
            name: "JWT_SECRET",
            value: self.jwt_secret.as_ref(),
            file: self.jwt_secret_file.as_ref(),
        };
        let secret = secret.required().map_err(|error| WrongUsage(format!("{error:#}")))?;
        let life = Duration::from_secs(self.minutes * 60);
        let wish = UserToken {
            issuer: &self.issuer,
            audience: &self.audience,
            client,
            user: &self.user,
            role,
            scope: self.scope.as_deref(),
            life,
        };
        let token = issue_user_token(secret.expose().as_bytes(), &wish)?;
        if self.json {
            let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + life;
            let expires_at = expires.as_secs();
            return print_json(&Issued { token, expires_at });
        }
        println!("{token}");
        Ok(())
    }
}
