//! Places where one tenant could learn of another, or somebody of both.
pub mod cached;
pub mod streams;
pub mod timing;
pub mod words;
pub mod workers;

use std::sync::Arc;

use onekeel_api::ErrorReason;
use onekeel_tests::{World, is, lead_named};

pub async fn what_is_unique_is_unique_in_its_tenant(world: Arc<World>) -> anyhow::Result<()> {
    let (a, b) = (world.member("enterprise").await?, world.member("enterprise").await?);
    let mut lead = lead_named("emil");
    lead.external_id = "E-1".to_owned();
    a.create(lead.clone()).await?;
    is(a.create(lead.clone()).await, ErrorReason::AlreadyExists)?;
    b.create(lead).await?;
    Ok(())
}
