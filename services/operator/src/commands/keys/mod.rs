//! `onekeel keys`
mod folders;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use onekeel_operator::SERVICES;
use onekeel_tenancy::publish;
use serde::Serialize;

use self::folders::Folders;
use super::{WrongUsage, print_json};

/// Makes and rotates the keys that the services sign with, and publishes their public halves; prints no private key.
#[derive(Args)]
#[command(after_help = "Examples:
  onekeel keys make                                every service's first key
  onekeel keys list
  onekeel keys rotate announce --service lead      a second key; hand its public half to every server
  onekeel keys rotate switch --service lead        signs with it; hand the private half to the lead servers
  onekeel keys rotate retire --service lead        two minutes later (tenant: 15): the old key's public half goes
  onekeel keys publish --service lead > lead.jwks

Servers take changed files without a restart. docs/identity.md has the steps of a rotation in a cluster.")]
pub struct Keys {
    /// Folder with the private keys, `<service>.key`; only their owner may read them.
    #[arg(long = "keys", value_name = "FOLDER", default_value = "service-keys", global = true)]
    private: PathBuf,
    /// Folder with the public keys, `<service>.pub`; what SERVICE_PEERS_DIR names.
    #[arg(
        long = "peers",
        value_name = "FOLDER",
        default_value = "service-peers",
        global = true
    )]
    public: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Makes a key for each service, or for one; leaves alone what is there.
    Make {
        /// Only one service, for example lead.
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
    },
    /// Puts another key in a service's place, in three steps between which both are good.
    Rotate {
        /// Which step.
        step: Step,
        /// Whose key, for example lead.
        #[arg(long, value_name = "NAME")]
        service: String,
    },
    /// Shows each key: its id, and whether its service signs with it.
    List {
        /// Prints JSON: one object for each key.
        #[arg(long)]
        json: bool,
    },
    /// Prints the public keys of all services, or of one, as a key set (JWKS).
    Publish {
        /// Only one service, for example lead.
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Step {
    /// Makes the next key, and puts its public half beside the old one's.
    Announce,
    /// Puts the next private key in the place of the old one.
    Switch,
    /// Takes the public halves of old keys away.
    Retire,
}

/// A public key, as it is listed.
#[derive(Serialize)]
struct Line {
    service: String,
    kid: String,
    /// `signs`, `next`, or `old`; `unknown` where there is no private key to compare with.
    state: &'static str,
}

impl Keys {
    pub fn run(&self) -> anyhow::Result<()> {
        let folders = Folders {
            keys: self.private.clone(),
            peers: self.public.clone(),
        };
        match &self.action {
            Action::Make { service } => {
                for service in chosen(service.as_deref())? {
                    println!("{service}: {}", folders.make(service)?);
                }
                Ok(())
            }
            Action::Rotate { step, service } => {
                chosen(Some(service))?;
                let done = match step {
                    Step::Announce => folders.announce(service)?,
                    Step::Switch => folders.switch(service)?,
                    Step::Retire => folders.retire(service)?,
                };
                println!("{service}: {done}");
                Ok(())
            }
            Action::List { json } => list(&folders, *json),
            Action::Publish { service } => {
                let mut keys = Vec::new();
                for service in chosen(service.as_deref())? {
                    keys.extend(folders.public(service)?);
                }
                print_json(&publish(&keys)?)
            }
        }
    }
}

fn chosen(only: Option<&str>) -> Result<Vec<&str>, WrongUsage> {
    match only {
        None => Ok(SERVICES.to_vec()),
        Some(name) if SERVICES.contains(&name) => Ok(vec![name]),
        Some(name) => Err(WrongUsage(format!(
            "--service {name}: there is no such service; there are {}",
            SERVICES.join(", ")
        ))),
    }
}

fn list(folders: &Folders, json: bool) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for service in SERVICES {
        let [signs, next] = folders.private(service)?;
        for key in folders.public(service)? {
            let kid = key.id().unwrap_or_default().to_owned();
            let state = match &signs {
                Some(id) if *id == kid => "signs",
                _ if next.as_ref() == Some(&kid) => "next",
                Some(_) => "old",
                None => "unknown",
            };
            lines.push(Line {
                service: service.to_owned(),
                kid,
                state,
            });
        }
    }
    if json {
        return print_json(&lines);
    }
    for line in lines {
        println!("{:<10} {:<8} {}", line.service, line.state, line.kid);
    }
    Ok(())
}
