//! `onekeel domain`
use clap::{Args, Subcommand};
use onekeel_api::tenant::domain_service_client::DomainServiceClient;
use onekeel_api::tenant::{
    AddDomainRequest, Domain as Kept, ListDomainsRequest, RemoveDomainRequest, VerifyDomainRequest,
};
use serde::Serialize;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::acting::{self, Acting};
use super::{WrongUsage, print_json};

/// Adds, proves, lists and removes the domains of a tenant.
#[derive(Args)]
#[command(after_help = "Examples:
  export ONEKEEL_TOKEN_FILE=token TENANT_ADDR=http://tenant:50051
  onekeel domain add app.acme.example        prints the TXT record that proves it
  onekeel domain verify app.acme.example     when the record stands in DNS
  onekeel domain list --json
  onekeel domain remove app.acme.example --tenant 01a20b12-80ab-7463-a015-80e1156cec5e --reason 'sold to another customer'

Needs a token of the tenant's administrator, or of an operator with --tenant and --reason; see docs/hosts.md.")]
pub struct Domain {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Notes a domain; it counts for nothing until it is proved.
    Add(One),
    /// Looks for the TXT record by DNS, and takes the domain into service.
    Verify(One),
    /// Shows all domains.
    List(All),
    /// Takes a domain out of service.
    Remove(One),
}

#[derive(Args)]
struct One {
    /// The domain, for example `app.acme.example`.
    name: String,
    #[command(flatten)]
    all: All,
}

#[derive(Args)]
struct All {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    acting: Acting,
}

/// A domain as it is printed.
#[derive(Serialize)]
struct Line {
    name: String,
    verified: Option<String>,
    txt_name: String,
    txt_value: String,
    id: String,
}

impl From<Kept> for Line {
    fn from(domain: Kept) -> Self {
        Self {
            name: domain.name,
            verified: domain.verify_time.map(|time| time.to_string()),
            txt_name: domain.txt_name,
            txt_value: domain.txt_value,
            id: domain.id,
        }
    }
}

impl Domain {
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Add(one) => one.add().await,
            Command::Verify(one) => one.verify().await,
            Command::List(all) => all.list().await,
            Command::Remove(one) => one.remove().await,
        }
    }
}

impl One {
    async fn add(self) -> anyhow::Result<()> {
        let name = self.name.clone();
        let request = self.all.acting.request(AddDomainRequest { name })?;
        let added = answer(self.all.client()?.add_domain(request).await)?;
        if self.all.json {
            return print_json(&Line::from(added));
        }
        println!(
            "Put this record into DNS, then run `onekeel domain verify {}`:\n\n  {}. TXT \"{}\"",
            added.name, added.txt_name, added.txt_value
        );
        Ok(())
    }

    async fn verify(self) -> anyhow::Result<()> {
        let id = self.id().await?;
        let request = self.all.acting.request(VerifyDomainRequest { id })?;
        let verified = answer(self.all.client()?.verify_domain(request).await)?;
        self.all.print(vec![verified])
    }

    async fn remove(self) -> anyhow::Result<()> {
        let id = self.id().await?;
        let request = self.all.acting.request(RemoveDomainRequest { id })?;
        answer(self.all.client()?.remove_domain(request).await)?;
        eprintln!("{} is out of service", self.name);
        Ok(())
    }

    /// The id of the domain with this name.
    async fn id(&self) -> anyhow::Result<String> {
        let name = self.name.trim_end_matches('.').to_ascii_lowercase();
        let found = self.all.domains().await?.into_iter().find(|domain| domain.name == name);
        let found =
            found.ok_or_else(|| WrongUsage(format!("{}: the tenant has no such domain; see `list`", self.name)))?;
        Ok(found.id)
    }
}

impl All {
    async fn list(self) -> anyhow::Result<()> {
        let domains = self.domains().await?;
        self.print(domains)
    }

    async fn domains(&self) -> anyhow::Result<Vec<Kept>> {
        let request = self.acting.request(ListDomainsRequest {})?;
        Ok(answer(self.client()?.list_domains(request).await)?.domains)
    }

    fn client(&self) -> anyhow::Result<DomainServiceClient<Channel>> {
        Ok(DomainServiceClient::new(self.acting.channel()?))
    }

    fn print(&self, domains: Vec<Kept>) -> anyhow::Result<()> {
        let lines: Vec<Line> = domains.into_iter().map(Line::from).collect();
        if self.json {
            return print_json(&lines);
        }
        let width = lines.iter().map(|line| line.name.len()).max().unwrap_or_default();
        for line in lines {
            match line.verified {
                Some(at) => println!("{:width$}  verified {at}", line.name),
                None => println!(
                    "{:width$}  not yet: {}. TXT \"{}\"",
                    line.name, line.txt_name, line.txt_value
                ),
            }
        }
        Ok(())
    }
}

fn answer<T>(answered: Result<Response<T>, Status>) -> anyhow::Result<T> {
    acting::answer(answered, |_| None)
}
