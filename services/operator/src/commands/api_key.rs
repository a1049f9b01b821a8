//! `onekeel api-key`
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::{Args, Subcommand};
use onekeel_api::tenant::api_key_service_client::ApiKeyServiceClient;
use onekeel_api::tenant::{
    ApiKey as Kept, CreateApiKeyRequest, ExchangeApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest,
    RotateApiKeyRequest,
};
use onekeel_server::{Secret, SecretSource};
use serde::Serialize;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::acting::{self, Acting};
use super::remote::Remote;
use super::{WrongUsage, print_json};

const LONGEST_CALL: Duration = Duration::from_secs(30);
const DAY: u64 = 86_400;
/// A secret has 59 characters.
const LONGEST_SECRET: u64 = 1024;

/// Creates, lists, rotates and revokes the API keys of a tenant, and exchanges one for a token.
#[derive(Args)]
#[command(after_help = "Examples:
  export ONEKEEL_TOKEN_FILE=token TENANT_ADDR=http://tenant:50051
  onekeel api-key create 'nightly import' --role agent --scope leads.read --scope leads.write --days 90 > key
  onekeel api-key exchange --key-file key > token
  onekeel api-key list --json
  onekeel api-key rotate 01a20b12-80ab-7463-a015-80e1156cec5e --overlap 3600 > new-key
  onekeel api-key revoke 01a20b12-80ab-7463-a015-80e1156cec5e

A secret is printed once, alone on standard output, and read from a file or from standard input. All but `exchange` need a
token of the tenant's administrator, or of an operator with --tenant and --reason; see docs/api-keys.md.")]
pub struct ApiKey {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a key, and prints its secret once.
    Create(Create),
    /// Shows all keys, without their secrets.
    List(List),
    /// Gives a key another secret, and prints it once.
    Rotate(Rotate),
    /// Ends a key with all its secrets and tokens.
    Revoke(Revoke),
    /// Prints a token for the secret of a key.
    Exchange(Exchange),
}

#[derive(Args)]
struct Create {
    /// Name for people, for example `nightly import`.
    name: String,
    /// `viewer`, `agent`, `manager` or `admin`.
    #[arg(long)]
    role: String,
    /// Permission that the key shall have of its role, for example `leads.read`; several by repetition, all without it.
    #[arg(long = "scope", value_name = "PERMISSION")]
    scopes: Vec<String>,
    /// Days until it expires; without this it does not.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: Option<u64>,
    #[command(flatten)]
    acting: Acting,
}

#[derive(Args)]
struct List {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    acting: Acting,
}

#[derive(Args)]
struct Rotate {
    /// The key's id.
    id: String,
    /// Seconds for which the old secret goes on, at most 604800; 0 ends it at once.
    #[arg(long, default_value_t = DAY, value_name = "SECONDS")]
    overlap: u64,
    #[command(flatten)]
    acting: Acting,
}

#[derive(Args)]
struct Revoke {
    /// The key's id.
    id: String,
    #[command(flatten)]
    acting: Acting,
}

#[derive(Args)]
struct Exchange {
    /// File that holds the secret; standard input without it.
    #[arg(long, env = "ONEKEEL_API_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// TenantService, as `http://host:port` or `https://host:port`.
    #[arg(long, env = "TENANT_ADDR", value_name = "URL")]
    server: String,
    #[command(flatten)]
    remote: Remote,
}

/// A key as it is printed.
#[derive(Serialize)]
struct Line {
    id: String,
    name: String,
    role: String,
    scopes: Vec<String>,
    hint: String,
    creator: String,
    created: Option<String>,
    expires: Option<String>,
    last_used: Option<String>,
    revoked: Option<String>,
    old_secret_ends: Option<String>,
}

impl From<Kept> for Line {
    fn from(key: Kept) -> Self {
        let time = |time: Option<prost_types::Timestamp>| time.map(|time| time.to_string());
        Self {
            id: key.id,
            name: key.name,
            role: key.role,
            scopes: key.scopes,
            hint: key.hint,
            creator: key.creator,
            created: time(key.create_time),
            expires: time(key.expire_time),
            last_used: time(key.last_used_time),
            revoked: time(key.revoke_time),
            old_secret_ends: time(key.overlap_end_time),
        }
    }
}

impl ApiKey {
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create.run().await,
            Command::List(list) => list.run().await,
            Command::Rotate(rotate) => rotate.run().await,
            Command::Revoke(revoke) => revoke.run().await,
            Command::Exchange(exchange) => exchange.run().await,
        }
    }
}

fn client(acting: &Acting) -> anyhow::Result<ApiKeyServiceClient<Channel>> {
    Ok(ApiKeyServiceClient::new(acting.channel()?))
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let expire_time = self
            .days
            .map(|days| prost_types::Timestamp::from(SystemTime::now() + Duration::from_secs(days * DAY)));
        let request = self.acting.request(CreateApiKeyRequest {
            name: self.name,
            role: self.role,
            scopes: self.scopes,
            expire_time,
        })?;
        let made = answer(client(&self.acting)?.create_api_key(request).await)?;
        print_secret(made.key, &made.secret)
    }
}

impl Rotate {
    async fn run(self) -> anyhow::Result<()> {
        let seconds = i64::try_from(self.overlap).unwrap_or(i64::MAX);
        let request = self.acting.request(RotateApiKeyRequest {
            id: self.id,
            overlap: Some(prost_types::Duration { seconds, nanos: 0 }),
        })?;
        let rotated = answer(client(&self.acting)?.rotate_api_key(request).await)?;
        print_secret(rotated.key, &rotated.secret)
    }
}

/// The secret goes where a program may keep it, and the rest to the one who looks.
fn print_secret(key: Option<Kept>, secret: &str) -> anyhow::Result<()> {
    let key = key.context("the answer has no key")?;
    println!("{secret}");
    eprintln!(
        "{} {}: this is the only time that its secret is shown",
        key.id, key.name
    );
    Ok(())
}

impl Revoke {
    async fn run(self) -> anyhow::Result<()> {
        let request = self.acting.request(RevokeApiKeyRequest { id: self.id })?;
        let revoked = answer(client(&self.acting)?.revoke_api_key(request).await)?;
        eprintln!("{} {} is revoked", revoked.id, revoked.name);
        Ok(())
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let request = self.acting.request(ListApiKeysRequest {})?;
        let listed = answer(client(&self.acting)?.list_api_keys(request).await)?;
        let lines: Vec<Line> = listed.keys.into_iter().map(Line::from).collect();
        if self.json {
            return print_json(&lines);
        }
        let width = lines.iter().map(|line| line.name.len()).max().unwrap_or_default();
        for line in lines {
            let used = line
                .last_used
                .map_or("never used".to_owned(), |at| format!("used {at}"));
            let end = match (line.revoked, line.expires) {
                (Some(at), _) => format!("revoked {at}"),
                (None, Some(at)) => format!("expires {at}"),
                (None, None) => "does not expire".to_owned(),
            };
            let scopes = if line.scopes.is_empty() {
                String::new()
            } else {
                format!(" ({})", line.scopes.join(" "))
            };
            println!(
                "{}  {:width$}  {}…  {}{scopes}, {used}, {end}",
                line.id, line.name, line.hint, line.role
            );
        }
        Ok(())
    }
}

impl Exchange {
    async fn run(self) -> anyhow::Result<()> {
        let secret = self.secret()?;
        let mut request = Request::new(ExchangeApiKeyRequest {
            api_key: secret.expose().to_owned(),
        });
        request.set_timeout(LONGEST_CALL);
        let mut client = ApiKeyServiceClient::new(self.remote.channel("--server", &self.server)?);
        let given = answer(client.exchange_api_key(request).await)?;
        println!("{}", given.access_token);
        let until = given.expire_time.map(|time| time.to_string()).unwrap_or_default();
        eprintln!("a token of key {} until {until}", given.key_id);
        Ok(())
    }

    fn secret(&self) -> anyhow::Result<Secret> {
        let read = match &self.key_file {
            Some(file) => {
                let source = SecretSource {
                    name: "ONEKEEL_API_KEY",
                    value: None,
                    file: Some(file),
                };
                source.required()?
            }
            None => {
                let mut text = String::new();
                let input = std::io::stdin().lock();
                input.take(LONGEST_SECRET).read_to_string(&mut text)?;
                Secret::from(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        if read.expose().is_empty() {
            return Err(WrongUsage("standard input has no secret; see --key-file".to_owned()).into());
        }
        Ok(read)
    }
}

/// The answer, or its refusal in the words of this command.
fn answer<T>(answered: Result<Response<T>, Status>) -> anyhow::Result<T> {
    acting::answer(answered, |field| match field.split('[').next() {
        Some("role") => Some("--role"),
        Some("scopes") => Some("--scope"),
        Some("expire_time") => Some("--days"),
        Some("overlap") => Some("--overlap"),
        Some("api_key") => Some("--key-file"),
        _ => None,
    })
}
