//! Every change leaves one event in its tenant's trail, with the change or not at all, and nobody changes it afterwards.
use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::lead::{CreateLeadRequest, UndeleteLeadRequest};
use onekeel_api::tenant::audit_service_client::AuditServiceClient;
use onekeel_api::tenant::{AuditEvent, CallerKind, ListAuditEventsRequest, ListAuditEventsResponse};
use onekeel_api::{ClientId, Digest, ErrorReason};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, Ran, World, is, lead_named, run};
use sqlx::{Connection, PgConnection};
use tonic::Status;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::commands::onekeel;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

pub(crate) fn trails(world: &World) -> anyhow::Result<AuditServiceClient<Channel>> {
    Ok(AuditServiceClient::new(world.stack.channel("tenant", 0)?))
}

/// A page as the tenant's administrator sees it.
async fn page(
    world: &World,
    member: &Member,
    filter: &str,
    size: i32,
    token: &str,
) -> anyhow::Result<Result<ListAuditEventsResponse, Status>> {
    let wish = ListAuditEventsRequest {
        page_size: size,
        page_token: token.to_owned(),
        filter: filter.to_owned(),
        ..ListAuditEventsRequest::default()
    };
    let listed = trails(world)?.list_audit_events(member.request(wish)).await;
    Ok(listed.map(tonic::Response::into_inner))
}

async fn events(world: &World, member: &Member, filter: &str) -> anyhow::Result<Vec<AuditEvent>> {
    Ok(page(world, member, filter, 0, "").await??.events)
}

fn at(time: Option<prost_types::Timestamp>) -> Option<(i64, i32)> {
    time.map(|at| (at.seconds, at.nanos))
}

/// Events behind the walls.
async fn count(world: &World, id: ClientId) -> anyhow::Result<i64> {
    let count = sqlx::query_scalar("select count(*) from audit.events where client_id = $1").bind(id.uuid());
    Ok(count.fetch_one(&world.behind).await?)
}

pub async fn an_event_says_who_did_what_when_and_from_where(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut request = member.request(CreateLeadRequest {
        lead: Some(lead_named("ann")),
        request_id: String::new(),
    });
    let parent = format!("00-{TRACE}-b7ad6b7169203331-00");
    request.metadata_mut().insert("traceparent", parent.parse()?);
    let lead = member.leads().create_lead(request).await?.into_inner();

    let own = events(&world, &member, &format!("resource_id = \"{}\"", lead.id)).await?;
    let [event] = &own[..] else {
        anyhow::bail!("{own:?}");
    };
    ensure!(event.caller_kind() == CallerKind::User, "{event:?}");
    ensure!((&*event.caller, &*event.role) == ("dev-admin", "admin"), "{event:?}");
    ensure!(event.method == "onekeel.lead.v1.LeadService/CreateLead", "{event:?}");
    ensure!(
        (&*event.resource_type, event.resource_count) == ("lead", 1),
        "{event:?}"
    );
    ensure!(event.before_digest.is_empty(), "{event:?}");
    ensure!(event.after_digest == Digest::of(&lead).to_string(), "{event:?}");
    ensure!((&*event.trace_id, &*event.source) == (TRACE, "127.0.0.1"), "{event:?}");
    ensure!(
        event.reason.is_empty() && at(event.create_time) >= at(lead.create_time),
        "{event:?}"
    );

    // The tenant's own creation, by an operator.
    let all = events(&world, &member, "").await?;
    let first = all.last().context("an event")?;
    ensure!(
        first.caller_kind() == CallerKind::Operator && first.role == "platform_admin",
        "{first:?}"
    );
    ensure!(
        first.method.ends_with("/CreateTenant") && first.resource_id == member.id.to_string(),
        "{first:?}"
    );
    Ok(())
}

pub async fn digests_follow_a_lead_through_its_changes(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut lead = member.create(lead_named("ann")).await?;
    for score in [1, 2] {
        lead.score = score;
        lead = member.update(lead, &["score"]).await?;
    }
    member.delete(&lead.id, "").await?;
    let id = lead.id.clone();
    let lead = member
        .leads()
        .undelete_lead(member.request(UndeleteLeadRequest { id }))
        .await?
        .into_inner();

    let mut told = events(&world, &member, &format!("resource_id = \"{}\"", lead.id)).await?;
    told.reverse();
    let methods: Vec<_> = told
        .iter()
        .map(|event| event.method.rsplit('/').next().unwrap_or_default())
        .collect();
    ensure!(
        methods == ["CreateLead", "UpdateLead", "UpdateLead", "DeleteLead", "UndeleteLead"],
        "{methods:?}"
    );
    for pair in told.windows(2) {
        ensure!(pair[0].after_digest == pair[1].before_digest, "{pair:?}");
    }
    let different: BTreeSet<_> = told.iter().map(|event| &event.after_digest).collect();
    ensure!(different.len() == told.len(), "a change changed nothing: {told:?}");
    ensure!(
        told[3].after_digest.is_empty(),
        "a deleted lead is not there: {:?}",
        told[3]
    );
    ensure!(told[4].after_digest == Digest::of(&lead).to_string(), "{:?}", told[4]);
    Ok(())
}

pub async fn what_failed_or_was_repeated_leaves_no_event(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let request_id = Uuid::new_v4().to_string();
    let lead = member.create_once(lead_named("ann"), request_id.clone()).await?;
    let before = count(&world, member.id).await?;
    member.create_once(lead_named("ann"), request_id).await?;
    is(member.create(lead_named("ann")).await, ErrorReason::AlreadyExists)?;
    let old = onekeel_api::lead::Lead {
        etag: "9".to_owned(),
        ..lead.clone()
    };
    is(member.update(old, &["company"]).await, ErrorReason::EtagMismatch)?;
    is(
        member.delete(&Uuid::now_v7().to_string(), "").await,
        ErrorReason::NotFound,
    )?;
    is(
        world.change_plan(member.id, "gold").await?,
        ErrorReason::InvalidArgument,
    )?;
    ensure!(count(&world, member.id).await? == before, "a failure left an event");

    // An import is told once for each part that is committed together, and not for each row.
    let rows = (0..7).map(|number| lead_named(&format!("row{number}"))).collect();
    ensure!(member.import(rows).await?.created == 7, "all rows are new");
    let own = events(&world, &member, "method = ImportLeads").await?;
    let rows: i32 = own.iter().map(|event| event.resource_count).sum();
    ensure!(rows == 7 && own.len() < 7, "{own:?}");
    ensure!(own.iter().all(|event| event.resource_id.is_empty()), "{own:?}");
    world.change_plan(member.id, "enterprise").await??;
    let own = events(&world, &member, "method = ChangePlan").await?;
    ensure!(own.len() == 1 && own[0].before_digest != own[0].after_digest, "{own:?}");
    Ok(())
}

pub async fn no_server_can_change_or_delete_an_event(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    member.create(lead_named("ann")).await?;
    let before = count(&world, member.id).await?;
    for service in SERVICES {
        let mut login = PgConnection::connect(&world.stack.database.url_for(service)?).await?;
        let mut tried = async |statement: &'static str| {
            let bound = sqlx::query(statement).bind(member.id.uuid());
            bound.execute(&mut login).await
        };
        for statement in [
            "update audit.events set caller = 'nobody' where client_id = $1",
            "delete from audit.events where client_id = $1",
        ] {
            let refused = tried(statement)
                .await
                .err()
                .and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
            ensure!(
                refused.as_deref() == Some("42501"),
                "{service}: {statement}: {refused:?}"
            );
        }
        login.close().await?;
    }
    // The two doors that the tenant server has for old and for abandoned trails stay shut, whatever they are asked for.
    let mut login = PgConnection::connect(&world.stack.database.url_for("tenant")?).await?;
    for statement in [
        "with bound as materialized (select onekeel.set_tenant($1))
        select audit.prune($1, now() + interval '9 days', 99) from bound",
        "with bound as materialized (select onekeel.set_tenant($1)) select 1::bigint from bound, audit.forget($1)",
    ] {
        sqlx::query(statement)
            .bind(member.id.uuid())
            .execute(&mut login)
            .await?;
    }
    login.close().await?;
    ensure!(count(&world, member.id).await? == before, "an event is gone");
    Ok(())
}

pub async fn filters_and_pages_show_each_event_once(world: Arc<World>) -> anyhow::Result<()> {
    let (member, other) = (world.member("basic").await?, world.member("basic").await?);
    for number in 0..5 {
        member.create(lead_named(&format!("lead{number}"))).await?;
    }
    let agent = Member::new(&world.stack, member.id, Role::Agent, 0)?;
    let lead = agent.create(lead_named("of-the-agent")).await?;
    other.create(lead_named("foreign")).await?;

    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let part = page(&world, &member, "", 2, &token).await??;
        ensure!((1..=2).contains(&part.events.len()), "{part:?}");
        seen.extend(part.events);
        if part.next_page_token.is_empty() {
            break;
        }
        token = part.next_page_token;
    }
    let ids: BTreeSet<_> = seen.iter().map(|event| &event.id).collect();
    ensure!(
        (seen.len(), ids.len()) == (7, 7),
        "{} events, {} ids",
        seen.len(),
        ids.len()
    );
    ensure!(
        seen.is_sorted_by_key(|event| std::cmp::Reverse(at(event.create_time))),
        "{seen:?}"
    );

    for (filter, expected) in [
        ("caller = \"dev-agent\"".to_owned(), 1),
        ("method = CreateLead".to_owned(), 6),
        (
            "method = \"onekeel.lead.v1.LeadService/CreateLead\" AND caller = dev-admin".to_owned(),
            5,
        ),
        ("method = Lead".to_owned(), 0),
        (format!("resource_id = \"{}\"", lead.id), 1),
        ("create_time > 2100-01-01T00:00:00Z".to_owned(), 0),
        (
            "create_time > 2020-01-01T00:00:00Z AND create_time < 2100-01-01T00:00:00Z".to_owned(),
            7,
        ),
    ] {
        let found = events(&world, &member, &filter).await?.len();
        ensure!(found == expected, "{filter}: {found} and not {expected}");
    }
    is(
        page(&world, &member, "role = admin", 0, "").await?,
        ErrorReason::InvalidArgument,
    )?;
    is(
        page(&world, &member, "caller = ann", 2, &token).await?,
        ErrorReason::InvalidArgument,
    )?;
    is(page(&world, &other, "", 2, &token).await?, ErrorReason::InvalidArgument)?;
    is(page(&world, &agent, "", 0, "").await?, ErrorReason::PermissionDenied)?;
    let wish = ListAuditEventsRequest {
        client_id: member.id.to_string(),
        ..ListAuditEventsRequest::default()
    };
    let told = trails(&world)?
        .list_audit_events(world.as_platform(wish.clone())?)
        .await?
        .into_inner();
    ensure!(told.events == seen, "an operator sees something else");
    is(
        trails(&world)?.list_audit_events(other.request(wish)).await,
        ErrorReason::NotFound,
    )?;
    Ok(())
}

pub async fn a_search_goes_on_where_a_page_ended_early(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    // One needle below more than the events that one page looks through.
    sqlx::query(
        "insert into audit.events (client_id, created_at, id, caller_kind, caller, role, method, resources)
        select $1, now() - n * interval '1 second', gen_random_uuid(), 1,
            case n when 10500 then 'needle' else 'hay' end, 'admin', 'test', 1
        from generate_series(1, 11000) n",
    )
    .bind(member.id.uuid())
    .execute(&world.behind)
    .await?;
    let first = page(&world, &member, "caller = needle", 10, "").await??;
    ensure!(
        first.events.is_empty() && !first.next_page_token.is_empty(),
        "{first:?}"
    );
    let second = page(&world, &member, "caller = needle", 10, &first.next_page_token).await??;
    ensure!(
        second.events.len() == 1 && second.next_page_token.is_empty(),
        "{second:?}"
    );
    Ok(())
}

pub async fn a_change_and_its_event_stand_or_fall_together(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let mut world = World::start(&Plan::default()).await?;
    let member = world.member("basic").await?;
    let lead = member.create(lead_named("ann")).await?;

    // No event, no change: the lead server may not write events for a while.
    sqlx::query("revoke insert on audit.events from onekeel_lead")
        .execute(&world.behind)
        .await?;
    is(member.create(lead_named("bob")).await, ErrorReason::Internal)?;
    is(member.delete(&lead.id, "").await, ErrorReason::Internal)?;
    ensure!(
        (member.count().await?, world.rows(member.id).await?) == (1, 1),
        "a change without its event"
    );
    sqlx::query("grant insert on audit.events to onekeel_lead")
        .execute(&world.behind)
        .await?;
    member.create(lead_named("bob")).await?;
    world.accounts_are_true(member.id).await?;

    // Old events go when the server starts, and then every hour; young ones stay.
    let aged =
        "update audit.events set created_at = now() - interval '366 days' where client_id = $1 and resource_id = $2";
    sqlx::query(aged)
        .bind(member.id.uuid())
        .bind(&lead.id)
        .execute(&world.behind)
        .await?;
    let before = count(&world, member.id).await?;
    world.stack.server("tenant", 0)?.kill_and_restart().await?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut round = tokio::time::interval(std::time::Duration::from_millis(50));
    while count(&world, member.id).await? == before {
        ensure!(tokio::time::Instant::now() < deadline, "old events stay");
        round.tick().await;
    }
    ensure!(count(&world, member.id).await? == before - 1, "a young event is gone");
    world.stop().await
}

pub async fn the_command_prints_a_line_for_each_event(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let lead = member.create(lead_named("ann")).await?;
    let (tenant, address) = (
        member.id.to_string(),
        format!("http://{}", world.stack.address("tenant", 0)?),
    );
    let token = world.stack.token(None, Role::PlatformViewer)?;
    let print = async |format: &str, filter: &str| -> anyhow::Result<Ran> {
        let line = ["audit", "--tenant", &tenant, "--format", format, "--filter", filter];
        run(onekeel(&line)?
            .env("TENANT_ADDR", &address)
            .env("ONEKEEL_TOKEN", &token))
        .await
    };
    let json = print("json", "method = CreateLead").await?;
    let event: serde_json::Value = serde_json::from_str(&json.out).with_context(|| json.err)?;
    ensure!(
        event["resource_id"] == lead.id.as_str() && event["caller_kind"] == "USER",
        "{event}"
    );
    let csv = print("csv", "").await?.out;
    let lines: Vec<_> = csv.lines().collect();
    ensure!(
        lines.len() == 3 && lines[0].starts_with("time,caller_kind,caller,"),
        "{csv}"
    );
    let wrong = print("csv", "role = admin").await?;
    ensure!(
        wrong.code == Some(2) && wrong.err.contains("--filter: knows"),
        "{}",
        wrong.err
    );
    Ok(())
}
