//! CampaignService, AgentService and ConversationService: how a tenant talks to its leads, and what was said.
//!
//! One room for each noun: its types and rules, its SQL (`repo`), and its methods (`service`).

mod agent;
mod campaign;
mod channel;
mod conversation;
mod purge;

use onekeel_api::campaign::agent_service_server::AgentServiceServer;
use onekeel_api::campaign::campaign_service_server::CampaignServiceServer;
use onekeel_api::campaign::conversation_service_server::ConversationServiceServer;
use onekeel_server::{Parts, Routed, Services};
use tonic::codec::CompressionEncoding::Gzip;

/// The gRPC services of this server.
pub fn routes(parts: &Parts) -> anyhow::Result<Routed> {
    let campaigns = CampaignServiceServer::new(campaign::service::Campaigns::new(parts));
    let agents = AgentServiceServer::new(agent::service::Agents::new(parts));
    let conversations = ConversationServiceServer::new(conversation::service::Conversations::new(parts));
    let services = Services::default()
        .with(campaigns.accept_compressed(Gzip).send_compressed(Gzip))
        .with(agents.accept_compressed(Gzip).send_compressed(Gzip))
        .with(conversations.accept_compressed(Gzip).send_compressed(Gzip));
    let parts = parts.clone();
    Ok(Routed::new(services).with_task(purge::TASK, move || purge::purge_deleted(parts.clone())))
}
