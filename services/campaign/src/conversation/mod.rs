//! A conversation and its messages: how they come in, how they stand in the database, how they go out.

mod repo;
pub(crate) mod service;

use chrono::{DateTime, Utc};
use onekeel_api::campaign::{AppendMessageRequest, Conversation, Message, Sender, StartConversationRequest};
use onekeel_api::{ConversationId, Fault, Violations, timestamp};
use onekeel_gate::Size;
use uuid::Uuid;

use crate::channel;

/// A checked new conversation.
#[derive(Clone, Debug)]
pub(crate) struct NewConversation {
    id: ConversationId,
    lead_id: Uuid,
    campaign_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    channel: i16,
    request_id: Option<Uuid>,
}

impl NewConversation {
    /// What a conversation counts as in its tenant's storage limit; its messages count on their own.
    fn size() -> Size {
        Size::of_row()
    }
}

impl TryFrom<StartConversationRequest> for NewConversation {
    type Error = Fault;

    fn try_from(request: StartConversationRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        let new = Self {
            id: ConversationId::new_v7(),
            lead_id: wrong.uuid("lead_id", &request.lead_id),
            campaign_id: wrong.optional_uuid("campaign_id", &request.campaign_id),
            agent_id: wrong.optional_uuid("agent_id", &request.agent_id),
            channel: channel::check(&mut wrong, "channel", request.channel),
            request_id: wrong.optional_uuid("request_id", &request.request_id),
        };
        wrong.into_result()?;
        Ok(new)
    }
}

/// A checked new message.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage {
    conversation_id: ConversationId,
    sender: i16,
    text: String,
    request_id: Option<Uuid>,
}

impl NewMessage {
    /// What the message counts as in its tenant's storage limit.
    fn size(&self) -> Size {
        Size::of_row().text(&self.text)
    }
}

impl TryFrom<AppendMessageRequest> for NewMessage {
    type Error = Fault;

    fn try_from(request: AppendMessageRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        wrong.prose("text", &request.text, 1..=20_000);
        let description = "must be AGENT, LEAD, HUMAN or SYSTEM";
        let new = Self {
            conversation_id: wrong.uuid("conversation_id", &request.conversation_id).into(),
            sender: channel::number::<Sender>(&mut wrong, "sender", request.sender, description),
            request_id: wrong.optional_uuid("request_id", &request.request_id),
            text: request.text,
        };
        wrong.into_result()?;
        Ok(new)
    }
}

/// A row of `campaign.conversations`.
#[derive(Clone, Debug)]
pub(crate) struct ConversationRow {
    id: Uuid,
    lead_id: Uuid,
    campaign_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    channel: i16,
    message_count: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<ConversationRow> for Conversation {
    fn from(row: ConversationRow) -> Self {
        let optional = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        Self {
            id: row.id.to_string(),
            lead_id: row.lead_id.to_string(),
            campaign_id: optional(row.campaign_id),
            agent_id: optional(row.agent_id),
            channel: row.channel.into(),
            message_count: row.message_count,
            create_time: Some(timestamp(row.created_at)),
            update_time: Some(timestamp(row.updated_at)),
        }
    }
}

/// A row of `campaign.messages`.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    conversation_id: Uuid,
    sequence: i64,
    sender: i16,
    text: String,
    created_at: DateTime<Utc>,
}

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            conversation_id: row.conversation_id.to_string(),
            sequence: row.sequence,
            sender: row.sender.into(),
            text: row.text,
            create_time: Some(timestamp(row.created_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fault: &Fault) -> Vec<&str> {
        fault.violations().iter().map(|(field, _)| field.as_str()).collect()
    }

    #[test]
    fn every_rule_of_a_new_conversation_is_named_at_once() {
        let bad = StartConversationRequest {
            campaign_id: "7".to_owned(),
            agent_id: "7".to_owned(),
            request_id: "7".to_owned(),
            ..StartConversationRequest::default()
        };
        let fault = NewConversation::try_from(bad).expect_err("five rules are broken");
        assert_eq!(
            fields(&fault),
            ["lead_id", "campaign_id", "agent_id", "channel", "request_id"]
        );
    }

    #[test]
    fn every_rule_of_a_new_message_is_named_at_once() {
        let fault = NewMessage::try_from(AppendMessageRequest::default()).expect_err("three rules are broken");
        assert_eq!(fields(&fault), ["text", "conversation_id", "sender"]);
        let long = AppendMessageRequest {
            conversation_id: Uuid::now_v7().to_string(),
            sender: Sender::Human.into(),
            text: "x".repeat(20_001),
            request_id: String::new(),
        };
        assert_eq!(fields(&NewMessage::try_from(long).expect_err("too long")), ["text"]);
    }
}
