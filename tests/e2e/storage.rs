//! Bytes: charged and given back with every row.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::campaign::{
    Agent, AppendMessageRequest, Channel, CreateAgentRequest, Sender, StartConversationRequest,
};
use onekeel_api::lead::{Lead, UndeleteLeadRequest};
use onekeel_api::quota::Resource;
use onekeel_tests::{Member, World, is, lead_named};

/// Keys, numbers and times of a row.
const ROW: i64 = 128;

async fn used(member: &Member) -> anyhow::Result<i64> {
    Ok(member.quota_of(Resource::StorageBytes).await?.used)
}

fn company(lead: &Lead, company: &str) -> Lead {
    Lead {
        id: lead.id.clone(),
        company: company.to_owned(),
        ..Lead::default()
    }
}

pub async fn bytes_follow_every_step_of_a_row(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    // "ann" and "ann@example.com".
    let lead = member.create(lead_named("ann")).await?;
    let created = ROW + 3 + 15;
    ensure!(used(&member).await? == created, "created: {}", used(&member).await?);
    member.update(company(&lead, "Ärzte & Söhne"), &["company"]).await?;
    let grown = created + 15;
    ensure!(used(&member).await? == grown, "grown: {}", used(&member).await?);
    member.update(company(&lead, "Co"), &["company"]).await?;
    let shrunk = created + 2;
    ensure!(used(&member).await? == shrunk, "shrunk: {}", used(&member).await?);
    member.delete(&lead.id, "").await?;
    ensure!(used(&member).await? == 0, "deleted: {}", used(&member).await?);
    let back = UndeleteLeadRequest { id: lead.id.clone() };
    member.leads().undelete_lead(member.request(back)).await?;
    ensure!(used(&member).await? == shrunk, "back: {}", used(&member).await?);

    let agent = Agent {
        name: "Iris".to_owned(),
        r#type: Channel::Chat.into(),
        system_prompt: "Be kind.".to_owned(),
        ..Agent::default()
    };
    let create = CreateAgentRequest {
        agent: Some(agent),
        request_id: String::new(),
    };
    member.agents().create_agent(member.request(create)).await?;
    // No configuration of a channel is an empty document: `{}`.
    let with_agent = shrunk + ROW + 4 + 8 + 2;
    ensure!(used(&member).await? == with_agent, "agent: {}", used(&member).await?);
    let start = StartConversationRequest {
        lead_id: lead.id,
        channel: Channel::Chat.into(),
        ..StartConversationRequest::default()
    };
    let conversation = member
        .conversations()
        .start_conversation(member.request(start))
        .await?
        .into_inner();
    let message = AppendMessageRequest {
        conversation_id: conversation.id,
        sender: Sender::Human.into(),
        text: "Hello".to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    for _ in 0..2 {
        member
            .conversations()
            .append_message(member.request(message.clone()))
            .await?;
    }
    let all = with_agent + ROW + ROW + 5;
    ensure!(
        used(&member).await? == all,
        "a retried message counts once: {}",
        used(&member).await?
    );
    world.accounts_are_true(member.id).await
}

pub async fn a_full_storage_refuses_growth_and_nothing_else(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    world.limit(member.id, "storage_bytes", 2 * (ROW + 18) + 10).await?;
    let ann = member.create(lead_named("ann")).await?;
    let bob = member.create(lead_named("bob")).await?;
    let fault = is(member.create(lead_named("cyd")).await, ErrorReason::QuotaExceeded)?;
    ensure!(fault.fact_value("resource") == Some("storage_bytes"), "{fault:?}");
    member
        .update(company(&ann, "ten bytes."), &["company"])
        .await
        .context("the last bytes")?;
    let fault = is(
        member.update(company(&bob, "x"), &["company"]).await,
        ErrorReason::QuotaExceeded,
    )?;
    ensure!(fault.fact_value("resource") == Some("storage_bytes"), "{fault:?}");
    member
        .update(company(&ann, "ten more.."), &["company"])
        .await
        .context("no growth")?;
    member
        .update(company(&ann, ""), &["company"])
        .await
        .context("a shrinking")?;
    member
        .update(company(&bob, "x"), &["company"])
        .await
        .context("room again")?;
    // The unit that the refused creation took has gone back.
    ensure!(
        world.rows(member.id).await? == 2 && world.settle(member.id).await? == 2,
        "two leads"
    );
    world.accounts_are_true(member.id).await
}

pub async fn an_import_stops_at_a_full_storage_to_the_row(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let row = |number: usize| lead_named(&format!("{number:03}"));
    world.limit(member.id, "storage_bytes", 300 * (ROW + 18) + 100).await?;
    let answer = member.import((0..700).map(row).collect()).await?;
    ensure!(
        (answer.created, answer.over_quota) == (300, 400),
        "{} {}",
        answer.created,
        answer.over_quota
    );
    ensure!(
        world.rows(member.id).await? == 300 && world.settle(member.id).await? == 300,
        "300 leads"
    );
    world.accounts_are_true(member.id).await
}
