//! Caches: what Redis and the processes keep for one tenant is another tenant's never.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;
use onekeel_tests::{World, lead_named, same_refusal};

pub async fn what_one_tenant_caches_another_never_reads(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::on(Backing::start_private().await?, &Plan::default()).await?;
    let (a, b) = (world.member("enterprise").await?, world.member("enterprise").await?);
    let lead = a.create(lead_named("emil")).await?;
    // From the second time on, what is asked for is looked for in Redis and kept there.
    for _ in 0..2 {
        a.get(&lead.id).await?;
    }
    let redis = world.backing.redis().context("a private Redis")?;
    let entry = |id| format!("onekeel:{{{id}}}:lead:{}", lead.id);
    let kept = redis.tell(&format!("EXISTS {}", entry(a.id))).await?;
    ensure!(kept.contains('1'), "the lead is not cached: {kept}");

    let absent = b.get(&uuid::Uuid::now_v7().to_string()).await;
    let absent = absent.err().context("a lead that never was is there")?;
    for _ in 0..2 {
        let foreign = b.get(&lead.id).await.err().context("B reads A's lead")?;
        same_refusal(&foreign, &absent)?;
    }

    // Even an entry that got below the key of another tenant is not that tenant's.
    let other = b.create(lead_named("frieda")).await?;
    ensure!(b.get(&other.id).await? == other, "B reads another lead");
    let place = format!("onekeel:{{{}}}:lead:{}", b.id, other.id);
    let copied = redis.tell(&format!("COPY {} {place} REPLACE", entry(a.id))).await?;
    ensure!(copied.contains('1'), "the entry was not copied: {copied}");
    let read = b.get(&other.id).await?;
    ensure!(read == other, "B reads what A has cached: {read:?}");
    world.stop().await
}
