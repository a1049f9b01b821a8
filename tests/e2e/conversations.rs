//! What is said with leads.
use std::sync::Arc;

use anyhow::ensure;
use futures_util::future::try_join_all;
use onekeel_api::ErrorReason;
use onekeel_api::campaign::{
    AppendMessageRequest, Campaign, CampaignType, Channel, Conversation, CreateCampaignRequest, DeleteCampaignRequest,
    GetConversationRequest, ListConversationsRequest, ListMessagesRequest, Message, Sender, StartConversationRequest,
};
use onekeel_tests::{Member, World, is, lead_named};
use tonic::Status;
use uuid::Uuid;

async fn start(member: &Member, wish: StartConversationRequest) -> Result<Conversation, Status> {
    let request = member.request(wish);
    Ok(member.conversations().start_conversation(request).await?.into_inner())
}

fn with_lead(lead_id: &str) -> StartConversationRequest {
    StartConversationRequest {
        lead_id: lead_id.to_owned(),
        channel: Channel::Chat.into(),
        ..StartConversationRequest::default()
    }
}

async fn say(member: &Member, conversation: &str, text: &str, request_id: &str) -> Result<Message, Status> {
    let request = member.request(AppendMessageRequest {
        conversation_id: conversation.to_owned(),
        sender: Sender::Human.into(),
        text: text.to_owned(),
        request_id: request_id.to_owned(),
    });
    Ok(member.conversations().append_message(request).await?.into_inner())
}

pub async fn a_conversation_numbers_its_messages_without_a_gap(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let lead = member.create(lead_named("ann")).await?;
    let conversation = start(&member, with_lead(&lead.id)).await?;
    ensure!(
        conversation.lead_id == lead.id && conversation.message_count == 0,
        "{conversation:?}"
    );
    let writers = (0..8).map(|writer| {
        let (member, id) = (member.clone(), conversation.id.clone());
        async move {
            for number in 0..5 {
                say(&member, &id, &format!("{writer}: {number}"), "").await?;
            }
            Ok::<_, Status>(())
        }
    });
    try_join_all(writers).await?;
    let (mut sequences, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = member.request(ListMessagesRequest {
            conversation_id: conversation.id.clone(),
            page_size: 7,
            page_token,
        });
        let page = member.conversations().list_messages(request).await?.into_inner();
        sequences.extend(page.messages.iter().map(|message| message.sequence));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    ensure!(sequences == (1..=40).collect::<Vec<i64>>(), "{sequences:?}");
    let of_lead = member.request(ListConversationsRequest {
        lead_id: lead.id,
        ..ListConversationsRequest::default()
    });
    let listed = member.conversations().list_conversations(of_lead).await?.into_inner();
    ensure!(
        listed.conversations.len() == 1 && listed.conversations[0].id == conversation.id,
        "{listed:?}"
    );
    let get = member.request(GetConversationRequest { id: conversation.id });
    let count = member
        .conversations()
        .get_conversation(get)
        .await?
        .into_inner()
        .message_count;
    ensure!(count == 40, "{count} messages");
    Ok(())
}

pub async fn a_retried_message_is_appended_once(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let lead = member.create(lead_named("ann")).await?;
    let mut wish = with_lead(&lead.id);
    wish.request_id = Uuid::new_v4().to_string();
    let conversation = start(&member, wish.clone()).await?;
    // Also when its lead is gone by now, a retry finds what it started.
    member.delete(&lead.id, "").await?;
    ensure!(start(&member, wish).await?.id == conversation.id, "two conversations");
    let request_id = Uuid::new_v4().to_string();
    let first = say(&member, &conversation.id, "hello", &request_id).await?;
    let again = say(&member, &conversation.id, "hello", &request_id).await?;
    ensure!(first == again && first.sequence == 1, "{again:?}");
    let next = say(&member, &conversation.id, "next", "").await?;
    ensure!(next.sequence == 2, "the retry took a number: {next:?}");
    Ok(())
}

pub async fn a_conversation_needs_what_it_names(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let lead = member.create(lead_named("ann")).await?;
    let none = Uuid::now_v7().to_string();
    let named = |fault: onekeel_api::Fault| fault.fact_value("field").map(str::to_owned);
    let fault = is(start(&member, with_lead(&none)).await, ErrorReason::NotFound)?;
    ensure!(named(fault).as_deref() == Some("lead_id"), "no lead");
    for field in ["campaign_id", "agent_id"] {
        let mut wish = with_lead(&lead.id);
        if field == "agent_id" {
            wish.agent_id.clone_from(&none);
        } else {
            wish.campaign_id.clone_from(&none);
        }
        let fault = is(start(&member, wish).await, ErrorReason::NotFound)?;
        ensure!(named(fault).as_deref() == Some(field), "{field}");
    }
    let create = member.request(CreateCampaignRequest {
        campaign: Some(Campaign {
            name: "Spring".to_owned(),
            r#type: CampaignType::Blast.into(),
            ..Campaign::default()
        }),
        request_id: String::new(),
    });
    let campaign = member.campaigns().create_campaign(create).await?.into_inner();
    let mut wish = with_lead(&lead.id);
    wish.campaign_id.clone_from(&campaign.id);
    ensure!(
        start(&member, wish.clone()).await?.campaign_id == campaign.id,
        "a living campaign"
    );
    let delete = member.request(DeleteCampaignRequest {
        id: campaign.id,
        etag: String::new(),
    });
    member.campaigns().delete_campaign(delete).await?;
    is(start(&member, wish).await, ErrorReason::NotFound)?;
    member.delete(&lead.id, "").await?;
    is(start(&member, with_lead(&lead.id)).await, ErrorReason::NotFound)?;
    is(say(&member, &none, "hello", "").await, ErrorReason::NotFound)?;
    let list = member.request(ListMessagesRequest {
        conversation_id: none,
        ..ListMessagesRequest::default()
    });
    is(member.conversations().list_messages(list).await, ErrorReason::NotFound)?;
    Ok(())
}
