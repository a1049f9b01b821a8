//! What was deleted goes for good when its time has come, and nothing that lives goes with it.
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use onekeel_api::ClientId;
use onekeel_operator::stack::Plan;
use onekeel_tests::{Member, World, lead_named};
use sqlx::types::Uuid;

const LONGEST: Duration = Duration::from_secs(20);

/// Rows of the tenant in all tables that purging touches.
async fn rows(world: &World, id: ClientId) -> anyhow::Result<Vec<i64>> {
    let counted = sqlx::query_as::<_, (i64, i64, i64, i64, i64)>(
        "select (select count(*) from lead.leads where client_id = $1),
            (select count(*) from campaign.campaigns where client_id = $1),
            (select count(*) from campaign.agents where client_id = $1),
            (select count(*) from campaign.conversations where client_id = $1),
            (select count(*) from campaign.messages where client_id = $1)",
    );
    let (leads, campaigns, agents, conversations, messages) = counted.bind(id.uuid()).fetch_one(&world.behind).await?;
    Ok(vec![leads, campaigns, agents, conversations, messages])
}

/// A lead with a conversation of 700 messages, more than one transaction deletes.
async fn talk(world: &World, member: &Member, lead: Uuid, campaign: Uuid, agent: Uuid) -> anyhow::Result<()> {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into campaign.conversations
            (client_id, id, lead_id, campaign_id, agent_id, channel, message_count, created_at, updated_at, updated_by)
        values ($1, $2, $3, $4, $5, 1, 700, now(), now(), 'test')",
    )
    .bind(member.id.uuid())
    .bind(id)
    .bind(lead)
    .bind(campaign)
    .bind(agent)
    .execute(&world.behind)
    .await?;
    sqlx::query(
        "insert into campaign.messages (client_id, conversation_id, sequence, sender, text, created_at, created_by)
        select $1, $2, n, 1, 'hello', now(), 'test' from generate_series(1, 700) n",
    )
    .bind(member.id.uuid())
    .bind(id)
    .execute(&world.behind)
    .await?;
    Ok(())
}

/// Adds a campaign and an agent that were deleted so long ago.
async fn deleted(world: &World, member: &Member, ago: &str) -> anyhow::Result<(Uuid, Uuid)> {
    let (campaign, agent) = (Uuid::now_v7(), Uuid::now_v7());
    sqlx::query(
        "insert into campaign.campaigns (client_id, id, name, description, type, steps, created_at, updated_at, updated_by,
            deleted_at, purge_at)
        values ($1, $2, 'c', '', 1, '[]', now(), now(), 'test', now(), now() - $3::interval)",
    )
    .bind(member.id.uuid())
    .bind(campaign)
    .bind(ago)
    .execute(&world.behind)
    .await?;
    sqlx::query(
        "insert into campaign.agents (client_id, id, name, type, system_prompt, temperature, max_tokens, response_delay_ms,
            retry_attempts, channel_config, created_at, updated_at, updated_by, deleted_at, purge_at)
        values ($1, $2, 'a', 1, '', 1, 1, 0, 0, '{}', now(), now(), 'test', now(), now() - $3::interval)",
    )
    .bind(member.id.uuid())
    .bind(agent)
    .bind(ago)
    .execute(&world.behind)
    .await?;
    Ok((campaign, agent))
}

pub async fn what_was_deleted_goes_at_its_time_with_what_hangs_on_it(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::start(&Plan::default()).await?;
    let member = world.member("enterprise").await?;
    let (due, early) = (
        deleted(&world, &member, "1 hour").await?,
        deleted(&world, &member, "-1 hour").await?,
    );
    for (name, campaign, agent) in [
        ("goes", due.0, due.1),
        ("stays", early.0, early.1),
        ("lives", due.0, due.1),
    ] {
        let lead = member.create(lead_named(name)).await?;
        talk(&world, &member, Uuid::try_parse(&lead.id)?, campaign, agent).await?;
        if name == "lives" {
            continue;
        }
        member.delete(&lead.id, &lead.etag).await?;
        let ago = if name == "goes" { "1 second" } else { "-1 hour" };
        sqlx::query("update lead.leads set purge_at = now() - $3::interval where client_id = $1 and id = $2")
            .bind(member.id.uuid())
            .bind(Uuid::try_parse(&lead.id)?)
            .bind(ago)
            .execute(&world.behind)
            .await?;
    }
    ensure!(rows(&world, member.id).await? == [3, 2, 2, 3, 2100], "before");
    // The first round begins with the server.
    for service in ["lead", "campaign"] {
        world.stack.server(service, 0)?.kill_and_restart().await?;
    }
    let deadline = tokio::time::Instant::now() + LONGEST;
    let mut round = tokio::time::interval(Duration::from_millis(50));
    loop {
        round.tick().await;
        let rows = rows(&world, member.id).await?;
        if rows == [2, 1, 1, 2, 1400] {
            break;
        }
        ensure!(tokio::time::Instant::now() < deadline, "{rows:?} are left");
    }
    let forgotten: i64 = sqlx::query_scalar(
        "select count(*) from campaign.conversations where client_id = $1 and campaign_id is null and agent_id is null",
    )
    .bind(member.id.uuid())
    .fetch_one(&world.behind)
    .await?;
    ensure!(
        forgotten == 1,
        "the living lead's conversation forgot what it was held for: {forgotten}"
    );
    world.stop().await
}
