//! `onekeel permissions`
use std::fmt::Write;
use std::sync::Arc;

use clap::Args;
use onekeel_api::{Audience, FILE_DESCRIPTOR_SET, Policies, Policy};
use onekeel_tenancy::{MATRIX, Permissions as Granted, Role};
use serde::Serialize;

use super::{WrongUsage, print_json};

/// Prints which role may call which method, as the servers read it from the contract.
#[derive(Args)]
#[command(after_help = "Examples:
  onekeel permissions
  onekeel permissions --service LeadService
  onekeel permissions --json | jq -r '.[] | select(.writes) | .method'

A role of the platform calls a method for any tenant that it names; `service` are the servers among themselves, and
`callers` says which of them. A token's scope narrows what its role may do.")]
pub struct Permissions {
    /// Only one service, for example LeadService or onekeel.lead.v1.LeadService.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Prints JSON: one object for each method.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    service: String,
    method: String,
    permission: String,
    audiences: Vec<&'static str>,
    cost: u32,
    writes: bool,
    /// Services that may call.
    callers: Vec<String>,
    client_streaming: bool,
    server_streaming: bool,
    roles: Vec<&'static str>,
}

impl Permissions {
    pub fn run(&self) -> anyhow::Result<()> {
        let services = Policies::services(FILE_DESCRIPTOR_SET)?;
        let wanted = |name: &&String| {
            let short = name.rsplit('.').next();
            let only = self.service.as_deref();
            only.is_none_or(|only| only == name.as_str() || Some(only) == short)
        };
        let chosen: Vec<&str> = services.iter().filter(wanted).map(String::as_str).collect();
        if chosen.is_empty() {
            let wish = self.service.as_deref().unwrap_or_default();
            let known = services.join(", ");
            return Err(WrongUsage(format!("--service {wish}: there is no such service; there are {known}")).into());
        }
        let lines = lines(&Policies::load(FILE_DESCRIPTOR_SET, &chosen)?);
        if self.json {
            return print_json(&lines);
        }
        print!("{}", table(&lines));
        Ok(())
    }
}

const HEAD: &str = "# Who may call what

What `onekeel permissions` prints: every method of the contract, the permission that it asks for, whom it is for, what it
costs, whether it writes, which roles may call it, and which servers.

This page is made from the code by `cargo onekeel docs`, and the tests fail while it is not what the code says. So whoever
changes who may call what changes this page, and whoever reviews the change sees it.

```text
";

/// Every method of the contract as a page.
pub fn page() -> anyhow::Result<String> {
    let services = Policies::services(FILE_DESCRIPTOR_SET)?;
    let all: Vec<&str> = services.iter().map(String::as_str).collect();
    Ok(format!(
        "{HEAD}{}```\n",
        table(&lines(&Policies::load(FILE_DESCRIPTOR_SET, &all)?))
    ))
}

fn lines(policies: &Policies) -> Vec<Line> {
    let mut lines: Vec<Line> = policies.all().map(|(path, policy)| line(path, policy)).collect();
    lines.sort_by(|a, b| (&a.service, &a.method).cmp(&(&b.service, &b.method)));
    lines
}

fn line(path: &str, policy: &Arc<Policy>) -> Line {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let roles = MATRIX.iter().map(|(role, _)| *role).filter(|role| may(*role, policy));
    Line {
        service: service.to_owned(),
        method: method.to_owned(),
        permission: policy.permission.clone(),
        audiences: policy.audiences.iter().map(|audience| name(*audience)).collect(),
        cost: policy.cost,
        writes: policy.writes,
        callers: policy.callers.clone(),
        client_streaming: policy.client_streaming,
        server_streaming: policy.server_streaming,
        roles: roles.map(Role::name).collect(),
    }
}

fn may(role: Role, policy: &Policy) -> bool {
    let own = match role {
        Role::Service => Audience::Service,
        role if role.is_platform() => Audience::Platform,
        _ => Audience::Tenant,
    };
    let public = policy.audiences.contains(&Audience::Public);
    public || policy.audiences.contains(&own) && Granted::of(role).contains(&policy.permission)
}

fn name(audience: Audience) -> &'static str {
    match audience {
        Audience::Unspecified => "unspecified",
        Audience::Public => "public",
        Audience::Tenant => "tenant",
        Audience::Platform => "platform",
        Audience::Service => "service",
    }
}

/// One block for each service, all with the same columns.
fn table(lines: &[Line]) -> String {
    let roles: Vec<&str> = MATRIX.iter().map(|(role, _)| role.name()).collect();
    let mut head = vec!["method", "permission", "audience", "cost", "writes"];
    head.extend(&roles);
    head.push("callers");
    let cells = |line: &Line| {
        let mut cells = vec![
            line.method.clone(),
            if line.permission.is_empty() {
                "-".to_owned()
            } else {
                line.permission.clone()
            },
            line.audiences.join(", "),
            line.cost.to_string(),
            if line.writes { "yes" } else { "-" }.to_owned(),
        ];
        let granted = roles
            .iter()
            .map(|role| if line.roles.contains(role) { "yes" } else { "-" });
        cells.extend(granted.map(str::to_owned));
        cells.push(if line.callers.is_empty() {
            "-".to_owned()
        } else {
            line.callers.join(", ")
        });
        cells
    };
    let rows: Vec<(&str, Vec<String>)> = lines.iter().map(|line| (line.service.as_str(), cells(line))).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter()
                .map(|(_, cells)| cells[column].len())
                .fold(head[column].len(), usize::max)
        })
        .collect();
    let print = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head: Vec<String> = head.into_iter().map(str::to_owned).collect();
    let mut text = String::new();
    let mut service = "";
    for (of, cells) in &rows {
        if *of != service {
            let gap = if service.is_empty() { "" } else { "\n" };
            writeln!(text, "{gap}{of}\n{}", print(&head)).expect("a string takes it");
            service = of;
        }
        writeln!(text, "{}", print(cells)).expect("a string takes it");
    }
    text
}
