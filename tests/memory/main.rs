//! How large the servers are in memory, built for release.
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::campaign::ListCampaignsRequest;
use onekeel_api::lead::{Lead, ListLeadsRequest};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::{Plan, Server};
use onekeel_tests::{Test, World, lead_named, run_suite, summarise, tests};

/// Kilobytes that a server may hold when it has just begun to serve, and when it is idle after calls of every kind.
const MOST: [u64; 2] = [16 * 1024, 24 * 1024];
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

fn measure(world: &World) -> anyhow::Result<Vec<u64>> {
    world.stack.servers().map(Server::resident).collect()
}

async fn an_idle_server_is_small(world: Arc<World>) -> anyhow::Result<()> {
    let fresh = measure(&world)?;
    use_every_server(&world).await?;
    let used = measure(&world)?;
    let mut table = String::from("resident memory of idle servers, fresh and after calls:");
    let mut large = Vec::new();
    for (place, server) in world.stack.servers().enumerate() {
        let sizes = [fresh[place], used[place]];
        let [fresh, used] = sizes.map(|kilobytes| kilobytes as f64 / 1024.0);
        write!(table, "\n  {:<10} {fresh:>5.1} MB  {used:>5.1} MB", server.service())?;
        if sizes.into_iter().zip(MOST).any(|(size, most)| size > most) {
            large.push(server.service());
        }
    }
    summarise(&table)?;
    ensure!(fresh.len() == SERVICES.len(), "{} servers were measured", fresh.len());
    let most = MOST.map(|most| most / 1024);
    ensure!(large.is_empty(), "{large:?} hold more than {most:?} MB:\n{table}");
    Ok(())
}
