//! Platform support inside a tenant: with a reason only, and never unseen.
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::campaign::ListMessagesRequest;
use onekeel_api::lead::{CountLeadsRequest, CreateLeadRequest, GetLeadRequest};
use onekeel_api::tenant::{AuditEvent, CallerKind, ListAuditEventsRequest, SuspendTenantRequest};
use onekeel_api::{ClientId, ErrorReason};
use onekeel_operator::stack::Plan;
use onekeel_tenancy::{REASON_HEADER, Role, TENANT_HEADER};
use onekeel_tests::{World, is, lead_named};
use tonic::Request;
use uuid::Uuid;

use crate::audit::trails;

const REASON: &str = "the customer cannot find a lead";

/// A request of an operator who acts in a tenant; without a header where it is empty.
fn support<T>(world: &World, role: Role, message: T, client: &str, reason: &str) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", world.stack.token(None, role)?);
    for (name, value) in [
        ("authorization", &*bearer),
        (TENANT_HEADER, client),
        (REASON_HEADER, reason),
    ] {
        if !value.is_empty() {
            request.metadata_mut().insert(name, value.parse()?);
        }
    }
    request.set_timeout(std::time::Duration::from_secs(60));
    Ok(request)
}

/// What operators did in a tenant for support, newest first.
async fn looks(world: &World, id: ClientId) -> anyhow::Result<Vec<AuditEvent>> {
    let wish = ListAuditEventsRequest {
        client_id: id.to_string(),
        ..ListAuditEventsRequest::default()
    };
    let mut events = trails(world)?
        .list_audit_events(world.as_platform(wish)?)
        .await?
        .into_inner()
        .events;
    events.retain(|event| !event.reason.is_empty());
    Ok(events)
}

pub async fn support_reads_with_a_reason_and_the_tenant_sees_it(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let lead = member.create(lead_named("ann")).await?;
    let client = member.id.to_string();
    let wish = GetLeadRequest { id: lead.id.clone() };
    let get = async |client: &str, reason: &str| -> anyhow::Result<_> {
        let request = support(&world, Role::PlatformViewer, wish.clone(), client, reason)?;
        Ok(member.leads().get_lead(request).await.map(tonic::Response::into_inner))
    };
    is(get("", REASON).await?, ErrorReason::PermissionDenied)?;
    for reason in ["", "too short"] {
        let fault = is(get(&client, reason).await?, ErrorReason::InvalidArgument)?;
        ensure!(fault.violations()[0].0 == REASON_HEADER, "{fault:?}");
    }
    is(
        get(&Uuid::now_v7().to_string(), REASON).await?,
        ErrorReason::PermissionDenied,
    )?;
    ensure!(looks(&world, member.id).await?.is_empty(), "a refused look is told");
    ensure!(get(&client, REASON).await?? == lead, "another lead");

    let told = looks(&world, member.id).await?;
    let [look] = &told[..] else {
        anyhow::bail!("{told:?}");
    };
    ensure!(look.caller_kind() == CallerKind::Operator, "{look:?}");
    ensure!(
        (&*look.caller, &*look.role) == ("dev-platform_viewer", "platform_viewer"),
        "{look:?}"
    );
    ensure!(
        look.method == "onekeel.lead.v1.LeadService/GetLead" && look.reason == REASON,
        "{look:?}"
    );
    ensure!(
        look.resource_type.is_empty() && look.after_digest.is_empty(),
        "{look:?}"
    );
    Ok(())
}

pub async fn support_changes_as_far_as_its_role_goes(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let client = member.id.to_string();
    let wish = CreateLeadRequest {
        lead: Some(lead_named("ann")),
        request_id: String::new(),
    };
    let create = async |role| -> anyhow::Result<_> {
        let request = support(&world, role, wish.clone(), &client, REASON)?;
        Ok(member
            .leads()
            .create_lead(request)
            .await
            .map(tonic::Response::into_inner))
    };
    is(create(Role::PlatformViewer).await?, ErrorReason::PermissionDenied)?;
    let lead = create(Role::PlatformAdmin).await??;
    let told = looks(&world, member.id).await?;
    let resources: Vec<_> = told.iter().map(|event| event.resource_id.as_str()).collect();
    ensure!(
        resources == [lead.id.as_str(), ""],
        "a change and the look before it: {told:?}"
    );

    let said = ListMessagesRequest {
        conversation_id: Uuid::now_v7().to_string(),
        ..ListMessagesRequest::default()
    };
    let request = support(&world, Role::PlatformAdmin, said, &client, REASON)?;
    is(
        member.conversations().list_messages(request).await,
        ErrorReason::PermissionDenied,
    )?;
    let mut own = member.request(CountLeadsRequest {});
    own.metadata_mut().insert(TENANT_HEADER, client.parse()?);
    own.metadata_mut().insert(REASON_HEADER, REASON.parse()?);
    is(member.leads().count_leads(own).await, ErrorReason::PermissionDenied)?;
    Ok(())
}

pub async fn a_suspended_tenant_stays_readable_for_support(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    member.create(lead_named("ann")).await?;
    let client = member.id.to_string();
    let suspend = SuspendTenantRequest { id: client.clone() };
    world.tenants()?.suspend_tenant(world.as_platform(suspend)?).await?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    let mut round = tokio::time::interval(std::time::Duration::from_millis(50));
    while member.count().await.is_ok() {
        ensure!(tokio::time::Instant::now() < deadline, "it is not suspended");
        round.tick().await;
    }
    let request = support(&world, Role::PlatformViewer, CountLeadsRequest {}, &client, REASON)?;
    ensure!(
        member.leads().count_leads(request).await?.into_inner().count == 1,
        "no lead"
    );
    let wish = CreateLeadRequest {
        lead: Some(lead_named("bob")),
        request_id: String::new(),
    };
    let request = support(&world, Role::PlatformAdmin, wish, &client, REASON)?;
    is(member.leads().create_lead(request).await, ErrorReason::TenantSuspended)?;
    Ok(())
}

pub async fn support_that_cannot_be_written_down_is_refused(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let world = World::start(&Plan::default()).await?;
    let member = world.member("basic").await?;
    let client = member.id.to_string();
    let count = async || -> anyhow::Result<_> {
        let request = support(&world, Role::PlatformViewer, CountLeadsRequest {}, &client, REASON)?;
        Ok(member.leads().count_leads(request).await)
    };
    sqlx::query("revoke insert on audit.events from onekeel_lead")
        .execute(&world.behind)
        .await?;
    is(count().await?, ErrorReason::Internal)?;
    sqlx::query("grant insert on audit.events to onekeel_lead")
        .execute(&world.behind)
        .await?;
    count().await??;
    ensure!(looks(&world, member.id).await?.len() == 1, "each look is told once");
    world.stop().await
}
