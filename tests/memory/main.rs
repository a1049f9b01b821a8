//! How large the servers are in memory: built for release, idle after some calls.
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::campaign::ListCampaignsRequest;
use onekeel_api::lead::{Lead, ListLeadsRequest};
use onekeel_operator::stack::{Plan, SERVICES};
use onekeel_tests::{Test, World, lead_named, run_suite, summarise, tests};

/// Kilobytes that an idle server may hold.
const MOST: u64 = 16 * 1024;
const CALLS: usize = 20;
/// Where `cargo onekeel test` built the programs.
const RELEASE: &str = "ONEKEEL_RELEASE_FOLDER";

fn main() -> ExitCode {
    let Some(folder) = std::env::var_os(RELEASE) else {
        eprintln!("{RELEASE} does not name the programs built for release; run: cargo onekeel test memory");
        return ExitCode::FAILURE;
    };
    let plan = Plan {
        programs: Some(PathBuf::from(folder)),
        ..Plan::default()
    };
    let tests: Vec<Test> = tests![an_idle_server_is_small];
    run_suite(&plan, tests)
}

/// Every server answers: what is made when first needed is there.
async fn use_every_server(world: &World) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    for number in 0..CALLS {
        let lead = Lead {
            phone_raw: "(704)585-7792".to_owned(),
            ..lead_named(&format!("lead{number}"))
        };
        let made = member.create(lead).await?;
        member.get(&made.id).await?;
        member.tenant(&member.id.to_string()).await?;
        let request = member.request(ListCampaignsRequest::default());
        member.campaigns().list_campaigns(request).await?;
    }
    member.list(ListLeadsRequest::default()).await?;
    member.quota().await?;
    // Idle is a server that holds no lease any more.
    let used = world.settle(member.id).await?;
    ensure!(used == i64::try_from(CALLS)?, "{used} leads are counted");
    Ok(())
}

async fn an_idle_server_is_small(world: Arc<World>) -> anyhow::Result<()> {
    use_every_server(&world).await?;
    let (mut table, mut large) = (String::from("resident memory of idle servers:"), Vec::new());
    let mut measured = 0;
    for server in world.stack.servers() {
        let kilobytes = server.resident()?;
        measured += 1;
        write!(
            table,
            "\n  {:<10} {:>5.1} MB",
            server.service(),
            kilobytes as f64 / 1024.0
        )?;
        if kilobytes > MOST {
            large.push(server.service());
        }
    }
    summarise(&table)?;
    ensure!(measured == SERVICES.len(), "{measured} servers were measured");
    ensure!(
        large.is_empty(),
        "{large:?} hold more than {} MB:\n{table}",
        MOST / 1024
    );
    Ok(())
}
