//! `onekeel dev --trace`
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_tests::{Ran, World, program, run};
use tokio::process::Command;

pub async fn one_command_shows_the_journey_of_a_creation(world: Arc<World>) -> anyhow::Result<()> {
    let mut command = Command::new(program("onekeel")?);
    command
        .args(["dev", "--trace", "--once"])
        .env_remove("CARGO")
        .env("DATABASE_URL", &world.backing.database_url)
        .env("REDIS_URL", &world.backing.redis_url);
    let Ran { code, out, err } = run(&mut command).await?;
    ensure!(code == Some(0), "{code:?}: {err}");
    let place = |text: &str| {
        let lines = out.lines().enumerate();
        let mut found = lines.filter(|(_, line)| line.contains(text)).map(|(place, _)| place);
        found.next().with_context(|| format!("no {text:?} in\n{out}"))
    };
    let way = [
        place("LeadService/CreateLead")?,
        place("→ QuotaService/AcquireAllowance")?,
        place("EVALSHA allowance.lua")?,
        place("→ QuotaService/Reserve")?,
        place("SELECT quota.reserve_amply")?,
        place("INSERT lead.leads INSERT quota.charges")?,
    ];
    ensure!(way.is_sorted(), "not in the order of the journey: {way:?}\n{out}");
    ensure!(out.contains("of 3 services") && out.contains(" ms"), "{out}");
    Ok(())
}
