//! Leads, one by one, in pages and by the file.
use std::collections::HashSet;
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::lead::{BatchGetLeadsRequest, ImportOutcome, Lead, LeadStatus, ListLeadsRequest, UndeleteLeadRequest};
use onekeel_tests::{World, is, lead_named};
use uuid::Uuid;

pub async fn a_lead_lives_from_its_creation_to_its_deletion(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let mut new = lead_named("Ann");
    new.phone_raw = "(704)585-7792".to_owned();
    new.tags = vec!["vip".to_owned()];
    let created = member.create(new).await?;
    ensure!(
        created.email == "ann@example.com" && created.phone == "+17045857792",
        "{created:?}"
    );
    ensure!(
        created.status() == LeadStatus::New && created.etag == "1",
        "{created:?}"
    );
    ensure!(member.get(&created.id).await? == created, "reading back");
    is(member.create(lead_named("ANN")).await, ErrorReason::AlreadyExists)?;

    let change = Lead {
        id: created.id.clone(),
        company: "Initech".to_owned(),
        score: 80,
        first_name: "not in the mask".to_owned(),
        ..Lead::default()
    };
    let updated = member.update(change, &["company", "score"]).await?;
    ensure!(
        (updated.company.as_str(), updated.score) == ("Initech", 80),
        "{updated:?}"
    );
    ensure!(
        updated.first_name == "Ann" && updated.tags == ["vip"] && updated.etag == "2",
        "{updated:?}"
    );

    ensure!(
        member.count().await? == 1 && member.quota().await?.used == 1,
        "one lead, one unit"
    );
    member.delete(&created.id, &updated.etag).await?;
    is(member.get(&created.id).await, ErrorReason::NotFound)?;
    is(member.delete(&created.id, "").await, ErrorReason::NotFound)?;
    ensure!(
        member.count().await? == 0 && member.quota().await?.used == 0,
        "the unit came back"
    );
    member.create(lead_named("ann")).await?;
    Ok(())
}

pub async fn a_retried_creation_returns_the_first_result_also_at_the_limit(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    world.limit(member.id, "leads", 1).await?;
    let request_id = Uuid::new_v4().to_string();
    let first = member.create_once(lead_named("ann"), request_id.clone()).await?;
    let retried = member.create_once(lead_named("ann"), request_id.clone()).await?;
    ensure!(first == retried, "{retried:?}");
    // With room left it is the e-mail address that tells.
    world.limit(member.id, "leads", 2).await?;
    let retried = member.create_once(lead_named("ann"), request_id).await?;
    ensure!(first == retried, "{retried:?}");
    // The lease of the retry still has the second unit.
    world.settle(member.id).await?;
    world.limit(member.id, "leads", 1).await?;
    is(member.create(lead_named("bob")).await, ErrorReason::QuotaExceeded)?;
    ensure!(
        world.rows(member.id).await? == 1 && world.settle(member.id).await? == 1,
        "one row, one unit"
    );
    Ok(())
}

pub async fn a_bad_lead_is_refused_with_every_field_named(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let bad = Lead {
        first_name: "x".repeat(101),
        email: "no address".to_owned(),
        score: 101,
        ..Lead::default()
    };
    let fault = is(member.create(bad).await, ErrorReason::InvalidArgument)?;
    let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    ensure!(fields == ["lead.first_name", "lead.email", "lead.score"], "{fields:?}");
    is(member.get("7").await, ErrorReason::InvalidArgument)?;
    let fault = is(
        member.update(Lead::default(), &["id"]).await,
        ErrorReason::InvalidArgument,
    )?;
    ensure!(fault.violations().len() == 2, "{:?}", fault.violations());
    ensure!(member.count().await? == 0, "nothing was created");
    Ok(())
}

pub async fn an_old_etag_is_refused_and_nothing_changes(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let created = member.create(lead_named("ann")).await?;
    let change = |score| Lead {
        id: created.id.clone(),
        score,
        etag: created.etag.clone(),
        ..Lead::default()
    };
    let updated = member.update(change(10), &["score"]).await?;
    is(member.update(change(20), &["score"]).await, ErrorReason::EtagMismatch)?;
    is(
        member.delete(&created.id, &created.etag).await,
        ErrorReason::EtagMismatch,
    )?;
    ensure!(member.get(&created.id).await? == updated, "the lead changed");
    Ok(())
}

pub async fn pages_show_every_lead_once(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let leads = (0..25).map(|number| lead_named(&format!("lead{number}"))).collect();
    ensure!(member.import(leads).await?.created == 25, "25 leads");
    let mut wish = ListLeadsRequest {
        page_size: 10,
        ..ListLeadsRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = member.list(wish.clone()).await?;
        ensure!(page.leads.len() <= 10, "a page of {}", page.leads.len());
        seen.extend(page.leads.into_iter().map(|lead| lead.id));
        if page.next_page_token.is_empty() {
            break;
        }
        wish.page_token = page.next_page_token;
    }
    ensure!(
        seen.len() == 25 && seen.iter().collect::<HashSet<_>>().len() == 25,
        "{} shown",
        seen.len()
    );
    ensure!(seen.is_sorted_by(|a, b| a > b), "not the newest first");
    // The last token that was used belongs to the list without a filter.
    wish.status = LeadStatus::New.into();
    is(member.list(wish).await, ErrorReason::InvalidArgument)?;
    Ok(())
}

pub async fn an_import_answers_every_row(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    member.create(lead_named("known")).await?;
    let mut messy = lead_named("messy");
    messy.phone_raw = "call the office".to_owned();
    let mut bad = lead_named("bad");
    bad.email = "bad".to_owned();
    let rows = vec![lead_named("new"), lead_named("known"), bad, messy, lead_named("NEW")];
    let answer = member.import(rows).await?;
    let (created, duplicate) = (ImportOutcome::Created, ImportOutcome::Duplicate);
    let expected = [created, duplicate, ImportOutcome::Invalid, created, duplicate];
    let outcomes: Vec<_> = answer
        .results
        .iter()
        .map(onekeel_api::lead::ImportResult::outcome)
        .collect();
    ensure!(outcomes == expected, "{outcomes:?}");
    ensure!(
        answer.results[2].violations[0].field == "email",
        "{:?}",
        answer.results[2]
    );
    ensure!(
        answer.results[3].phone_kept_raw && answer.phones_kept_raw == 1,
        "{:?}",
        answer.results[3]
    );
    ensure!(
        member.get(&answer.results[0].lead_id).await?.email == "new@example.com",
        "the id of a row"
    );
    ensure!(
        member.count().await? == 3 && member.quota().await?.used == 3,
        "three rows, three units"
    );
    Ok(())
}

pub async fn a_message_that_is_too_large_is_refused_for_good(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let mut large = lead_named("large");
    large.company = "x".repeat(5 << 20);
    let fault = is(member.import(vec![large]).await, ErrorReason::InvalidArgument)?;
    ensure!(fault.violations()[0].0 == "leads", "{:?}", fault.violations());
    Ok(())
}

pub async fn a_deleted_lead_comes_back_and_is_charged_again(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    world.limit(member.id, "leads", 2).await?;
    let lead = member.create(lead_named("ann")).await?;
    let undelete = |id: &str| member.request(UndeleteLeadRequest { id: id.to_owned() });
    is(
        member.leads().undelete_lead(undelete(&lead.id)).await,
        ErrorReason::AlreadyExists,
    )?;
    is(
        member
            .leads()
            .undelete_lead(undelete(&Uuid::now_v7().to_string()))
            .await,
        ErrorReason::NotFound,
    )?;
    member.delete(&lead.id, "").await?;
    let back = member.leads().undelete_lead(undelete(&lead.id)).await?.into_inner();
    ensure!(
        back.id == lead.id && back.email == lead.email && back.etag == "3",
        "{back:?}"
    );
    ensure!(
        member.get(&lead.id).await? == back && member.quota().await?.used == 1,
        "it is back"
    );

    // Its address belongs to another by now, and then its unit does.
    member.delete(&lead.id, "").await?;
    let heir = member.create(lead_named("ann")).await?;
    let refused = member.leads().undelete_lead(undelete(&lead.id)).await;
    let fault = is(refused, ErrorReason::AlreadyExists)?;
    ensure!(fault.fact_value("field") == Some("email"), "{fault:?}");
    member.delete(&heir.id, "").await?;
    for name in ["bob", "carl"] {
        member.create(lead_named(name)).await?;
    }
    is(
        member.leads().undelete_lead(undelete(&lead.id)).await,
        ErrorReason::QuotaExceeded,
    )?;
    ensure!(
        world.rows(member.id).await? == 2 && world.settle(member.id).await? == 2,
        "two rows, two units"
    );
    Ok(())
}

pub async fn a_batch_is_all_or_nothing(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let mut ids = Vec::new();
    for name in ["ann", "bob", "carl"] {
        ids.push(member.create(lead_named(name)).await?.id);
    }
    ids.reverse();
    let batch = |ids: &[String]| member.request(BatchGetLeadsRequest { ids: ids.to_vec() });
    let leads = member.leads().batch_get_leads(batch(&ids)).await?.into_inner().leads;
    let names: Vec<_> = leads.iter().map(|lead| lead.first_name.as_str()).collect();
    ensure!(names == ["carl", "bob", "ann"], "{names:?}");
    member.delete(&ids[1], "").await?;
    is(member.leads().batch_get_leads(batch(&ids)).await, ErrorReason::NotFound)?;
    is(
        member.leads().batch_get_leads(batch(&[])).await,
        ErrorReason::InvalidArgument,
    )?;
    Ok(())
}
