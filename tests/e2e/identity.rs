//! Who may do what.
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{GetQuotaRequest, ReserveItem, ReserveRequest, Resource};
use onekeel_tenancy::{Role, Signer, Tenant};
use onekeel_tests::{Member, World, is, lead_named};
use tonic::Request;

fn with<T>(message: T, authorization: &str) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(20));
    if !authorization.is_empty() {
        request.metadata_mut().insert("authorization", authorization.parse()?);
    }
    Ok(request)
}

pub async fn a_call_without_a_good_token_is_refused(world: Arc<World>) -> anyhow::Result<()> {
    let mut leads = LeadServiceClient::new(world.stack.channel("lead", 0)?);
    let platform = format!("Bearer {}", world.stack.token(None, Role::PlatformAdmin)?);
    for authorization in ["", "Bearer ", "Bearer x.y.z", "Basic YTpi"] {
        is(
            leads.count_leads(with(CountLeadsRequest {}, authorization)?).await,
            ErrorReason::Unauthenticated,
        )?;
    }
    is(
        leads.count_leads(with(CountLeadsRequest {}, &platform)?).await,
        ErrorReason::PermissionDenied,
    )?;
    let nobody = world.stack.token(Some(onekeel_api::ClientId::new_v7()), Role::Admin)?;
    let nobody = with(CountLeadsRequest {}, &format!("Bearer {nobody}"))?;
    is(leads.count_leads(nobody).await, ErrorReason::PermissionDenied)?;
    Ok(())
}

pub async fn a_role_does_what_its_permissions_say(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    let as_role = |role| Member::new(&world.stack, admin.id, role, 0);
    let (viewer, agent, manager) = (as_role(Role::Viewer)?, as_role(Role::Agent)?, as_role(Role::Manager)?);
    is(viewer.create(lead_named("ann")).await, ErrorReason::PermissionDenied)?;
    let lead = agent.create(lead_named("ann")).await?;
    ensure!(viewer.get(&lead.id).await? == lead, "a viewer reads");
    is(agent.delete(&lead.id, "").await, ErrorReason::PermissionDenied)?;
    is(
        agent.import(vec![lead_named("bob")]).await,
        ErrorReason::PermissionDenied,
    )?;
    manager.delete(&lead.id, "").await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a service's signer needs a tenant, and no server is asked for one here"
)]
pub async fn service_methods_accept_service_tokens_only(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut quota = QuotaServiceClient::new(world.stack.channel("quota", 0)?);
    let wish = || ReserveRequest {
        items: vec![ReserveItem {
            resource: Resource::Leads.into(),
            min: 1,
            max: 1,
        }],
        ttl: None,
        request_id: String::new(),
    };
    for token in [
        world.stack.token(Some(member.id), Role::Admin)?,
        world.stack.token(None, Role::PlatformAdmin)?,
    ] {
        is(
            quota.reserve(with(wish(), &format!("Bearer {token}"))?).await,
            ErrorReason::PermissionDenied,
        )?;
    }
    let key = std::fs::read_to_string(world.stack.secrets.folder.join("lead.key"))?;
    let tenant = Tenant::for_background(member.id, "test");
    let token = |name: &str| anyhow::Ok(format!("Bearer {}", Signer::from_pem(name, &key)?.token_for(&tenant)?));
    let lease = quota.reserve(with(wish(), &token("lead")?)?).await?.into_inner();
    ensure!(lease.leases.len() == 1 && lease.leases[0].amount == 1, "{lease:?}");
    is(
        quota.reserve(with(wish(), &token("tenant")?)?).await,
        ErrorReason::Unauthenticated,
    )?;
    is(
        quota.get_quota(with(GetQuotaRequest {}, &token("lead")?)?).await,
        ErrorReason::PermissionDenied,
    )?;
    Ok(())
}
