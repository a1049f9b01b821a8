//! What could tell one tenant about another without naming it.
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::lead::ListLeadsRequest;
use onekeel_tests::{World, is, lead_named};
use uuid::Uuid;

use crate::two::Two;

pub async fn a_page_token_of_another_tenant_is_refused(world: Arc<World>) -> anyhow::Result<()> {
    let two = Two::new(world).await?;
    two.a.create(lead_named("second")).await?;
    let mut wish = ListLeadsRequest {
        page_size: 1,
        ..ListLeadsRequest::default()
    };
    wish.page_token = two.a.list(wish.clone()).await?.next_page_token;
    two.a.list(wish.clone()).await?;
    is(two.b.list(wish).await, ErrorReason::InvalidArgument)?;
    Ok(())
}

pub async fn a_request_id_of_another_tenant_finds_nothing(world: Arc<World>) -> anyhow::Result<()> {
    let two = Two::new(world).await?;
    let request_id = Uuid::new_v4().to_string();
    let mine = two.a.create_once(lead_named("dora"), request_id.clone()).await?;
    let other = two.b.create_once(lead_named("dora"), request_id).await?;
    ensure!(mine.id != other.id, "B got A's first result");
    Ok(())
}

pub async fn what_is_unique_is_unique_in_its_tenant(world: Arc<World>) -> anyhow::Result<()> {
    let two = Two::new(world).await?;
    let mut lead = lead_named("emil");
    lead.external_id = "E-1".to_owned();
    two.a.create(lead.clone()).await?;
    is(two.a.create(lead.clone()).await, ErrorReason::AlreadyExists)?;
    two.b.create(lead).await?;
    Ok(())
}
