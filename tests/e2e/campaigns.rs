//! Campaigns and agents.
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::campaign::{
    Agent, Campaign, CampaignStep, CampaignType, Channel, CreateAgentRequest, CreateCampaignRequest,
    DeleteAgentRequest, DeleteCampaignRequest, GetAgentRequest, GetCampaignRequest, ListAgentsRequest,
    ListCampaignsRequest, UndeleteAgentRequest, UndeleteCampaignRequest, UpdateAgentRequest, UpdateCampaignRequest,
};
use onekeel_api::quota::Resource;
use onekeel_tests::{Member, World, is};
use prost_types::value::Kind;
use prost_types::{Duration, FieldMask, Struct, Value};
use tonic::Status;
use uuid::Uuid;

fn mask(fields: &[&str]) -> FieldMask {
    let paths = fields.iter().map(|field| (*field).to_owned()).collect();
    FieldMask { paths }
}

fn campaign(name: &str) -> Campaign {
    Campaign {
        name: name.to_owned(),
        r#type: CampaignType::Drip.into(),
        steps: vec![CampaignStep {
            channel: Channel::Email.into(),
            delay: Some(Duration {
                seconds: 3600,
                nanos: 0,
            }),
            template: "Hello {{first_name}},\n…".to_owned(),
        }],
        ..Campaign::default()
    }
}

fn agent(name: &str) -> Agent {
    Agent {
        name: name.to_owned(),
        r#type: Channel::Chat.into(),
        ..Agent::default()
    }
}

async fn create(member: &Member, campaign: Campaign, request_id: &str) -> Result<Campaign, Status> {
    let request = member.request(CreateCampaignRequest {
        campaign: Some(campaign),
        request_id: request_id.to_owned(),
    });
    Ok(member.campaigns().create_campaign(request).await?.into_inner())
}

async fn create_agent(member: &Member, agent: Agent) -> Result<Agent, Status> {
    let request = member.request(CreateAgentRequest {
        agent: Some(agent),
        request_id: String::new(),
    });
    Ok(member.agents().create_agent(request).await?.into_inner())
}

pub async fn a_campaign_lives_from_its_creation_to_its_return(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let created = create(&member, campaign("Spring"), "").await?;
    let id = created.id.clone();
    let get = || member.request(GetCampaignRequest { id: id.clone() });
    ensure!(
        created.steps == campaign("Spring").steps && created.etag == "1",
        "{created:?}"
    );
    ensure!(
        member.campaigns().get_campaign(get()).await?.into_inner() == created,
        "reading back"
    );

    let update = |etag: &str| {
        member.request(UpdateCampaignRequest {
            campaign: Some(Campaign {
                id: id.clone(),
                description: "for spring".to_owned(),
                etag: etag.to_owned(),
                ..Campaign::default()
            }),
            update_mask: Some(mask(&["description"])),
        })
    };
    let updated = member.campaigns().update_campaign(update("1")).await?.into_inner();
    ensure!(
        updated.description == "for spring" && updated.name == "Spring" && updated.etag == "2",
        "{updated:?}"
    );
    is(
        member.campaigns().update_campaign(update("1")).await,
        ErrorReason::EtagMismatch,
    )?;

    let list = member.request(ListCampaignsRequest::default());
    let listed = member.campaigns().list_campaigns(list).await?.into_inner();
    ensure!(listed.campaigns == [updated], "{listed:?}");
    ensure!(
        member.quota_of(Resource::Campaigns).await?.used == 1,
        "one campaign, one unit"
    );

    let delete = || {
        member.request(DeleteCampaignRequest {
            id: id.clone(),
            etag: String::new(),
        })
    };
    member.campaigns().delete_campaign(delete()).await?;
    is(member.campaigns().get_campaign(get()).await, ErrorReason::NotFound)?;
    is(
        member.campaigns().delete_campaign(delete()).await,
        ErrorReason::NotFound,
    )?;
    ensure!(
        member.quota_of(Resource::Campaigns).await?.used == 0,
        "the unit came back"
    );
    let undelete = || member.request(UndeleteCampaignRequest { id: id.clone() });
    let back = member.campaigns().undelete_campaign(undelete()).await?.into_inner();
    ensure!(back.name == "Spring" && back.etag == "4", "{back:?}");
    is(
        member.campaigns().undelete_campaign(undelete()).await,
        ErrorReason::AlreadyExists,
    )?;
    ensure!(
        member.quota_of(Resource::Campaigns).await?.used == 1,
        "the unit is charged again, once"
    );

    let fault = is(
        create(&member, Campaign::default(), "x").await,
        ErrorReason::InvalidArgument,
    )?;
    let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    ensure!(fields == ["campaign.name", "campaign.type", "request_id"], "{fields:?}");
    Ok(())
}

pub async fn an_agent_keeps_what_it_is_told(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let fields: BTreeMap<_, _> = [(
        "sender".to_owned(),
        Value {
            kind: Some(Kind::StringValue("ada@example.com".to_owned())),
        },
    )]
    .into();
    let new = Agent {
        system_prompt: "Be kind.\nBe short.".to_owned(),
        temperature: Some(0.0),
        response_delay: Some(Duration {
            seconds: 1,
            nanos: 500_000_000,
        }),
        retry_attempts: 3,
        channel_config: Some(Struct { fields }),
        ..agent("Ada")
    };
    let created = create_agent(&member, new.clone()).await?;
    ensure!(
        created.system_prompt == new.system_prompt
            && created.temperature == Some(0.0)
            && created.max_tokens == Some(1024)
            && created.response_delay == new.response_delay
            && created.channel_config == new.channel_config,
        "{created:?}"
    );
    let id = created.id.clone();
    let update = member.request(UpdateAgentRequest {
        agent: Some(Agent {
            id: id.clone(),
            temperature: Some(1.5),
            ..Agent::default()
        }),
        update_mask: Some(mask(&["temperature", "channel_config"])),
    });
    let updated = member.agents().update_agent(update).await?.into_inner();
    ensure!(
        updated.temperature == Some(1.5) && updated.channel_config.is_none() && updated.retry_attempts == 3,
        "{updated:?}"
    );
    let get = member.request(GetAgentRequest { id: id.clone() });
    ensure!(
        member.agents().get_agent(get).await?.into_inner() == updated,
        "reading back"
    );
    let list = member.request(ListAgentsRequest::default());
    ensure!(
        member.agents().list_agents(list).await?.into_inner().agents == [updated],
        "listing"
    );
    let delete = member.request(DeleteAgentRequest {
        id: id.clone(),
        etag: "1".to_owned(),
    });
    is(member.agents().delete_agent(delete).await, ErrorReason::EtagMismatch)?;
    let delete = member.request(DeleteAgentRequest {
        id: id.clone(),
        etag: "2".to_owned(),
    });
    member.agents().delete_agent(delete).await?;
    let undelete = member.request(UndeleteAgentRequest { id });
    ensure!(
        member.agents().undelete_agent(undelete).await?.into_inner().name == "Ada",
        "it is back"
    );
    Ok(())
}

pub async fn campaigns_and_agents_stop_at_the_plans_limit(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    for number in 0..5 {
        create(&member, campaign(&format!("campaign {number}")), "").await?;
    }
    let fault = is(
        create(&member, campaign("one more"), "").await,
        ErrorReason::QuotaExceeded,
    )?;
    ensure!(
        fault.fact_value("resource") == Some("campaigns") && fault.fact_value("limit") == Some("5"),
        "{fault:?}"
    );
    for number in 0..2 {
        create_agent(&member, agent(&format!("agent {number}"))).await?;
    }
    let fault = is(
        create_agent(&member, agent("one more")).await,
        ErrorReason::QuotaExceeded,
    )?;
    ensure!(
        fault.fact_value("resource") == Some("agents") && fault.fact_value("limit") == Some("2"),
        "{fault:?}"
    );
    world.change_plan(member.id, "professional").await??;
    create_agent(&member, agent("one more")).await?;
    Ok(())
}

pub async fn a_retried_creation_makes_one_campaign(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let request_id = Uuid::new_v4().to_string();
    let first = create(&member, campaign("Spring"), &request_id).await?;
    let again = create(&member, campaign("Spring"), &request_id).await?;
    ensure!(first == again, "{again:?}");
    ensure!(
        member.quota_of(Resource::Campaigns).await?.used == 1,
        "one campaign, one unit"
    );
    Ok(())
}
