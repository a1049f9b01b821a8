//! Lists of leads by filter and order.
use std::collections::HashSet;
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::lead::{Lead, LeadStatus, ListLeadsRequest};
use onekeel_tests::{Member, World, is, lead_named};

fn wish(filter: &str, order_by: &str) -> ListLeadsRequest {
    ListLeadsRequest {
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
        ..ListLeadsRequest::default()
    }
}

async fn names(member: &Member, filter: &str, order_by: &str) -> anyhow::Result<Vec<String>> {
    let page = member.list(wish(filter, order_by)).await?;
    Ok(page.leads.into_iter().map(|lead| lead.first_name).collect())
}

pub async fn a_filter_and_an_order_decide_what_a_list_shows(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let mut made = Vec::new();
    for (name, source) in [("ann", "web"), ("bob", "fair"), ("carl", "web"), ("dora", "we\"b")] {
        let mut lead = lead_named(name);
        lead.source = source.to_owned();
        lead.external_id = format!("E-{name}");
        lead.phone_raw = if name == "bob" {
            "(704)585-7792".to_owned()
        } else {
            String::new()
        };
        made.push(member.create(lead).await?);
    }
    let change = Lead {
        id: made[0].id.clone(),
        status: LeadStatus::Qualified.into(),
        ..Lead::default()
    };
    let changed = member.update(change, &["status"]).await?;
    let time = changed.update_time.expect("every lead has one");
    let stamp = chrono::DateTime::from_timestamp(time.seconds, time.nanos.try_into()?).expect("a time");
    let stamp = stamp.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let (from, after, before) = (
        format!("update_time >= \"{stamp}\""),
        format!("update_time > \"{stamp}\""),
        format!("update_time < \"{stamp}\""),
    );
    for (filter, order_by, expected) in [
        ("", "", &["dora", "carl", "bob", "ann"][..]),
        ("", "create_time", &["ann", "bob", "carl", "dora"]),
        ("", "update_time desc", &["ann", "dora", "carl", "bob"]),
        ("source = web", "create_time", &["ann", "carl"]),
        (r#"source = "we\"b""#, "", &["dora"]),
        ("status = QUALIFIED", "", &["ann"]),
        ("status = NEW AND source = \"web\"", "", &["carl"]),
        ("email = \"BOB@example.com\"", "", &["bob"]),
        ("phone = \"+17045857792\"", "", &["bob"]),
        ("external_id = E-carl", "update_time", &["carl"]),
        ("external_id = E-carl AND status = QUALIFIED", "", &[]),
        (&from, "", &["ann"]),
        (&after, "", &[]),
        (&before, "update_time", &["bob", "carl", "dora"]),
    ] {
        let shown = names(&member, filter, order_by).await?;
        ensure!(shown == expected, "{filter:?} by {order_by:?} shows {shown:?}");
    }
    let mut status = wish("source = web", "");
    status.status = LeadStatus::New.into();
    let shown = member.list(status).await?.leads;
    ensure!(shown.len() == 1 && shown[0].first_name == "carl", "{shown:?}");
    Ok(())
}

pub async fn pages_in_the_order_of_changes_show_every_lead_once(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    // One import, one moment: the times are the same, and only the ids tell the leads apart.
    let leads = (0..25).map(|number| lead_named(&format!("lead{number}"))).collect();
    member.import(leads).await?;
    for order_by in ["update_time", "update_time desc", "create_time"] {
        let mut wish = wish("status = NEW", order_by);
        wish.page_size = 4;
        let mut seen = HashSet::new();
        loop {
            let page = member.list(wish.clone()).await?;
            ensure!(page.leads.len() <= 4, "a page of {}", page.leads.len());
            for lead in page.leads {
                ensure!(seen.insert(lead.id), "{order_by}: a lead twice");
            }
            if page.next_page_token.is_empty() {
                break;
            }
            wish.page_token = page.next_page_token;
        }
        ensure!(seen.len() == 25, "{order_by}: {} leads", seen.len());
        wish.order_by = "create_time desc".to_owned();
        is(member.list(wish).await, ErrorReason::InvalidArgument)?;
    }
    Ok(())
}

pub async fn a_filter_that_cannot_be_read_is_refused_by_name(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    for (filter, order_by, field) in [
        ("company = x", "", "filter"),
        ("status = NEW OR status = NEW", "", "filter"),
        ("", "first_name", "order_by"),
    ] {
        let fault = is(member.list(wish(filter, order_by)).await, ErrorReason::InvalidArgument)?;
        ensure!(fault.violations()[0].0 == field, "{:?}", fault.violations());
    }
    Ok(())
}
