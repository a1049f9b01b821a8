//! `onekeel migrate`
use std::path::PathBuf;

use clap::Args;
use onekeel_operator::{SERVICES, login_of, password_variable};
use onekeel_server::{Secret, SecretSource};
use onekeel_store::migrate::{self, Login};
use serde::Serialize;

use super::{WrongUsage, print_json};

/// Brings the database at DATABASE_URL to the newest schema; safe to repeat, and safe twice at once.
///
/// The login needs the right to create roles and schemas. Passwords of the services' logins come from
/// ONEKEEL_QUOTA_PASSWORD, ONEKEEL_TENANT_PASSWORD, ONEKEEL_LEAD_PASSWORD and ONEKEEL_CAMPAIGN_PASSWORD, or from the
/// files that the same names with _FILE name; a login without one keeps the password that it has, and a new one cannot log in yet.
#[derive(Args)]
#[command(after_help = "Examples:
  DATABASE_URL=postgres://owner@db/onekeel ONEKEEL_LEAD_PASSWORD_FILE=/run/secrets/lead onekeel migrate
  onekeel migrate --json | jq .applied")]
pub struct Migrate {
    /// PostgreSQL, with the login that owns migrations.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<Secret>,
    /// File that holds DATABASE_URL.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    /// Prints JSON: the versions that were applied now, how many there are, the logins whose passwords were set.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Done {
    applied: Vec<i64>,
    known: usize,
    passwords_set: Vec<String>,
}

impl Migrate {
    pub async fn run(self) -> anyhow::Result<()> {
        let url = SecretSource {
            name: "DATABASE_URL",
            value: self.database_url.as_ref(),
            file: self.database_url_file.as_ref(),
        };
        let url = url.required().map_err(|error| WrongUsage(format!("{error:#}")))?;
        let mut logins = Vec::new();
        for service in SERVICES {
            let (role, variable) = (login_of(service), password_variable(service));
            let value = std::env::var(&variable).ok().map(Secret::from);
            let file = std::env::var_os(format!("{variable}_FILE")).map(PathBuf::from);
            let source = SecretSource {
                name: &variable,
                value: value.as_ref(),
                file: file.as_ref(),
            };
            match source.optional()? {
                Some(password) => logins.push(Login {
                    role,
                    password: password.expose().to_owned(),
                }),
                None => eprintln!("{variable} is not set; the password of {role} stays as it is"),
            }
        }
        let report = migrate::run(url.expose(), &logins).await?;
        let done = Done {
            applied: report.applied,
            known: report.known,
            passwords_set: logins.into_iter().map(|login| login.role).collect(),
        };
        if self.json {
            return print_json(&done);
        }
        println!(
            "{} of {} migrations applied now, {} passwords set",
            done.applied.len(),
            done.known,
            done.passwords_set.len()
        );
        Ok(())
    }
}
