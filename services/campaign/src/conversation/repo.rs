//! The SQL of conversations and messages.
use onekeel_api::campaign::{Conversation, Message};
use onekeel_api::{ConversationId, Fault, LeadId, Page};
use onekeel_gate::{ChargeRow, write_charge};
use onekeel_store::{DbResult, Event, Single, TenantTx};
use uuid::Uuid;

use super::{ConversationRow, MessageRow, NewConversation, NewMessage};

/// What a broken constraint tells the caller.
fn constraint(name: &str) -> Option<Fault> {
    const NAMED: [(&str, &str); 3] = [
        ("conversations_lead_fkey", "lead_id"),
        ("conversations_campaign_fkey", "campaign_id"),
        ("conversations_agent_fkey", "agent_id"),
    ];
    if name.contains("_request_id_key") {
        return Some(Fault::already_exists("request").fact("field", "request_id"));
    }
    let named = NAMED.into_iter().find(|(key, _)| name.starts_with(key));
    named.map(|(_, field)| missing(field))
}

/// A lead, campaign or agent that the conversation names and that is not there, or not any more.
fn missing(field: &str) -> Fault {
    Fault::not_found().fact("field", field)
}

/// Writes the conversation and its charge; what it names lives, and cannot be deleted before this transaction ends. The row comes
/// first, so that a retry is known as one also when its lead is gone by now.
pub(crate) async fn insert(
    tx: &mut TenantTx,
    new: &NewConversation,
    bytes: ChargeRow,
) -> Result<ConversationRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        ConversationRow,
        "insert into campaign.conversations (client_id, id, lead_id, campaign_id, agent_id, channel, request_id,
            created_at, updated_at, updated_by, stored_bytes)
        values ($1, $2, $3, $4, $5, $6, $7, now(), now(), $8, $9)
        returning id, lead_id, campaign_id, agent_id, channel, message_count, created_at, updated_at",
        client,
        new.id.uuid(),
        new.lead_id,
        new.campaign_id,
        new.agent_id,
        new.channel,
        new.request_id,
        name,
        bytes.units
    );
    let row = row.fetch_one(tx.conn()).await.on_constraint(constraint)?;
    hold(tx, new).await?;
    write_charge(tx, bytes).await?;
    tx.audit(Event::of("conversation", new.id).after(&Conversation::from(row.clone())));
    Ok(row)
}

async fn hold(tx: &mut TenantTx, new: &NewConversation) -> Result<(), Fault> {
    let client = tx.client_id();
    let lead = sqlx::query_scalar!(r#"select lead.hold_lead($1, $2) as "there!""#, client, new.lead_id);
    if !lead.fetch_one(tx.conn()).await.db()? {
        return Err(missing("lead_id"));
    }
    if let Some(campaign) = new.campaign_id {
        let held = sqlx::query_scalar!(
            "select id from campaign.campaigns where client_id = $1 and id = $2 and deleted_at is null for share",
            client,
            campaign
        );
        held.fetch_optional(tx.conn())
            .await
            .db()?
            .ok_or_else(|| missing("campaign_id"))?;
    }
    if let Some(agent) = new.agent_id {
        let held = sqlx::query_scalar!(
            "select id from campaign.agents where client_id = $1 and id = $2 and deleted_at is null for share",
            client,
            agent
        );
        held.fetch_optional(tx.conn())
            .await
            .db()?
            .ok_or_else(|| missing("agent_id"))?;
    }
    Ok(())
}

/// The conversation that an earlier call with this request id started.
pub(crate) async fn find_by_request(tx: &mut TenantTx, request_id: Uuid) -> Result<Option<ConversationRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        ConversationRow,
        "select id, lead_id, campaign_id, agent_id, channel, message_count, created_at, updated_at
        from campaign.conversations where client_id = $1 and request_id = $2",
        client,
        request_id
    )
    .fetch_optional(tx.conn())
    .await
    .db()
}

/// One conversation, in one round trip.
pub(crate) async fn find(single: &mut Single, id: ConversationId) -> Result<Option<ConversationRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        ConversationRow,
        r#"select id as "id!", lead_id as "lead_id!", campaign_id, agent_id, channel as "channel!",
            message_count as "message_count!", created_at as "created_at!", updated_at as "updated_at!"
        from campaign.get_conversation($1, $2)"#,
        client,
        id.uuid()
    )
    .fetch_optional(single.conn())
    .await
}

/// A page of a lead's conversations, newest first.
pub(crate) async fn list_of_lead(tx: &mut TenantTx, lead: LeadId, page: &Page) -> Result<Vec<ConversationRow>, Fault> {
    let (client, before) = (tx.client_id(), page.after_id()?.unwrap_or(Uuid::max()));
    sqlx::query_as!(
        ConversationRow,
        "select id, lead_id, campaign_id, agent_id, channel, message_count, created_at, updated_at
        from campaign.conversations where client_id = $1 and lead_id = $2 and id < $3
        order by id desc limit $4",
        client,
        lead.uuid(),
        before,
        page.rows()
    )
    .fetch_all(tx.conn())
    .await
    .db()
}

/// Appends a message. The conversation's row is locked from its count on, so that numbers follow without a gap: a
/// transaction that fails takes its number back.
pub(crate) async fn append(tx: &mut TenantTx, new: &NewMessage, bytes: ChargeRow) -> Result<MessageRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let sequence = sqlx::query_scalar!(
        "update campaign.conversations set message_count = message_count + 1, updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 returning message_count",
        client,
        new.conversation_id.uuid(),
        name
    );
    let sequence = sequence
        .fetch_optional(tx.conn())
        .await
        .db()?
        .ok_or_else(Fault::not_found)?;
    let row = sqlx::query_as!(
        MessageRow,
        "insert into campaign.messages (client_id, conversation_id, sequence, sender, text, request_id, created_at,
            created_by, stored_bytes)
        values ($1, $2, $3, $4, $5, $6, now(), $7, $8)
        returning conversation_id, sequence, sender, text, created_at",
        client,
        new.conversation_id.uuid(),
        sequence,
        new.sender,
        new.text,
        new.request_id,
        name,
        bytes.units
    );
    let row = row.fetch_one(tx.conn()).await.on_constraint(constraint)?;
    write_charge(tx, bytes).await?;
    let id = format!("{}/{sequence}", new.conversation_id);
    tx.audit(Event::of("message", id).after(&Message::from(row.clone())));
    Ok(row)
}

/// The message that an earlier call with this request id appended.
pub(crate) async fn find_message(
    tx: &mut TenantTx,
    conversation: ConversationId,
    request_id: Uuid,
) -> Result<Option<MessageRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        MessageRow,
        "select conversation_id, sequence, sender, text, created_at from campaign.messages
        where client_id = $1 and conversation_id = $2 and request_id = $3",
        client,
        conversation.uuid(),
        request_id
    )
    .fetch_optional(tx.conn())
    .await
    .db()
}

/// A page of a conversation's messages, oldest first.
pub(crate) async fn list(
    tx: &mut TenantTx,
    conversation: ConversationId,
    page: &Page,
) -> Result<Vec<MessageRow>, Fault> {
    let client = tx.client_id();
    let exists = sqlx::query_scalar!(
        "select id from campaign.conversations where client_id = $1 and id = $2",
        client,
        conversation.uuid()
    );
    exists
        .fetch_optional(tx.conn())
        .await
        .db()?
        .ok_or_else(Fault::not_found)?;
    let after = page.after().map(|bytes| bytes.try_into().map(i64::from_be_bytes));
    let after = after.transpose().map_err(Fault::internal)?.unwrap_or_default();
    sqlx::query_as!(
        MessageRow,
        "select conversation_id, sequence, sender, text, created_at from campaign.messages
        where client_id = $1 and conversation_id = $2 and sequence > $3 order by sequence limit $4",
        client,
        conversation.uuid(),
        after,
        page.rows()
    )
    .fetch_all(tx.conn())
    .await
    .db()
}
