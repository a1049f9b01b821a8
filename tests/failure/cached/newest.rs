//! Newest pages that a process remembers: what a call reads is what is there.
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::lead::{Lead, ListLeadsRequest, UndeleteLeadRequest};
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, lead_named, scrape, values};
use tonic::codec::CompressionEncoding;

async fn times_sent_again(world: &World) -> anyhow::Result<f64> {
    let mut times = 0.0;
    for server in world.stack.servers().filter(|server| server.service() == "lead") {
        let page = scrape(&server.metrics_address()).await?;
        times += values(&page, "onekeel_newest_pages_total", &["outcome=\"same\""])
            .iter()
            .sum::<f64>();
    }
    Ok(times)
}

/// Asks for the newest page often enough that it is remembered, and holds it against a list that never is.
async fn newest_is_there(member: &Member) -> anyhow::Result<()> {
    let oldest = ListLeadsRequest {
        order_by: "create_time".to_owned(),
        ..ListLeadsRequest::default()
    };
    let mut there = member.list(oldest).await?.leads;
    there.reverse();
    for page_size in [2, 0, 2, 0] {
        let page = member
            .list(ListLeadsRequest {
                page_size,
                ..ListLeadsRequest::default()
            })
            .await?;
        let shown = if page_size == 0 {
            there.len()
        } else {
            there.len().min(2)
        };
        ensure!(page.leads == there[..shown], "{:?} is shown of {there:?}", page.leads);
        ensure!(
            page.next_page_token.is_empty() == (shown == there.len()),
            "whether another page follows"
        );
    }
    Ok(())
}

/// One replica writes, the other remembers.
pub async fn a_remembered_page_is_what_is_there_in_every_replica(world: Arc<World>) -> anyhow::Result<()> {
    let writer = world.member("enterprise").await?;
    let reader = Member::new(&world.stack, writer.id, Role::Admin, 1)?;
    let stranger = world.member("enterprise").await?;
    let before = times_sent_again(&world).await?;
    let mut made = Vec::new();
    for name in ["ann", "bob", "carl"] {
        made.push(writer.create(lead_named(name)).await?);
        newest_is_there(&reader).await?;
    }
    let renamed = Lead {
        id: made[1].id.clone(),
        first_name: "bert".to_owned(),
        ..Lead::default()
    };
    writer.update(renamed, &["first_name"]).await?;
    newest_is_there(&reader).await?;
    // The oldest is on no page of two, but tells whether another page follows.
    for lead in [&made[0], &made[2]] {
        writer.delete(&lead.id, "").await?;
        newest_is_there(&reader).await?;
    }
    let back = UndeleteLeadRequest { id: made[2].id.clone() };
    writer.leads().undelete_lead(writer.request(back)).await?;
    newest_is_there(&reader).await?;
    writer
        .import((0..3).map(|number| lead_named(&format!("lead{number}"))).collect())
        .await?;
    newest_is_there(&reader).await?;
    let plain = reader.list(ListLeadsRequest::default()).await?;
    let mut zipped = reader.leads().accept_compressed(CompressionEncoding::Gzip);
    let wish = reader.request(ListLeadsRequest::default());
    ensure!(
        zipped.list_leads(wish).await?.into_inner() == plain,
        "another page where it is compressed"
    );
    let others = stranger.list(ListLeadsRequest::default()).await?;
    ensure!(others.leads.is_empty(), "another tenant is shown {:?}", others.leads);
    let again = times_sent_again(&world).await? - before;
    ensure!(again >= 14.0, "only {again} pages were sent again");
    Ok(())
}
