//! Every method of the contract and everyone who could call it: whom the contract lets in gets in, everyone else is
//! refused for the reason that the contract documents.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::tenant::{DeleteTenantRequest, SetReadOnlyRequest, SuspendTenantRequest};
use onekeel_api::{Audience, ClientId, ErrorReason, Policy};
use onekeel_tenancy::{MATRIX, Permissions, Role};
use onekeel_tests::{Method, World, contract, keeps_contract};
use serde_json::json;

use crate::things::Things;

/// What only those are refused for who may not come in; whoever is in may still be told that the request is wrong.
const AT_THE_DOOR: [ErrorReason; 5] = [
    ErrorReason::Unauthenticated,
    ErrorReason::PermissionDenied,
    ErrorReason::TenantSuspended,
    ErrorReason::TenantReadOnly,
    ErrorReason::RateLimited,
];

/// In which state a caller's tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    ReadOnly,
    Suspended,
    Deleted,
    Absent,
}

/// Someone who calls.
struct Caller {
    name: String,
    token: String,
    /// As whom the token speaks; `None` for a token that proves nothing.
    audience: Option<Audience>,
    permissions: Permissions,
    state: State,
}

impl Caller {
    fn nobody(name: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: token.to_owned(),
            audience: None,
            permissions: Permissions::of(Role::Viewer).narrowed(""),
            state: State::Active,
        }
    }

    fn user(world: &World, client: Option<ClientId>, role: Role, state: State) -> anyhow::Result<Self> {
        Ok(Self {
            name: format!("{role} of a tenant that is {state:?}"),
            token: world.stack.token(client, role)?,
            audience: Some(if client.is_some() {
                Audience::Tenant
            } else {
                Audience::Platform
            }),
            permissions: Permissions::of(role),
            state,
        })
    }

    /// What the contract's declaration means for this caller: `None` lets it in.
    fn expected(&self, policy: &Policy) -> Option<ErrorReason> {
        let Some(audience) = self.audience else {
            return Some(ErrorReason::Unauthenticated);
        };
        if !policy.audiences.contains(&audience) {
            return Some(ErrorReason::PermissionDenied);
        }
        match self.state {
            State::Suspended => Some(ErrorReason::TenantSuspended),
            State::ReadOnly if policy.writes => Some(ErrorReason::TenantReadOnly),
            State::Deleted | State::Absent => Some(ErrorReason::PermissionDenied),
            _ if !self.permissions.contains(&policy.permission) => Some(ErrorReason::PermissionDenied),
            _ => None,
        }
    }

    async fn tries(&self, world: &World, method: &Method) -> anyhow::Result<()> {
        // The request may be empty: whoever is refused is refused before anybody looks at it.
        let answer = method.call(&world.stack, &self.token, &json!({})).await?;
        let refused = answer.as_ref().err().map(keeps_contract).transpose()?;
        let reason = refused.map(|fault| fault.reason());
        match self.expected(&method.policy) {
            Some(expected) => ensure!(reason == Some(expected), "{reason:?} instead of {expected:?}"),
            None => ensure!(
                reason.is_none_or(|reason| !AT_THE_DOOR.contains(&reason)),
                "refused for {reason:?}, and the contract lets it in"
            ),
        }
        Ok(())
    }
}

/// Everyone who could call: without a token, with a bad one, in every role, in every state of a tenant, with a token
/// that is narrowed to one permission, and a server of the suite.
async fn callers(world: &Arc<World>) -> anyhow::Result<Vec<Caller>> {
    let tenant = async || {
        let id = ClientId::parse("id", &world.create_tenant("enterprise").await?.id)?;
        world.limit(id, "requests_per_minute", 2_000_000).await?;
        anyhow::Ok(id)
    };
    let (active, read_only, suspended, deleted) = (tenant().await?, tenant().await?, tenant().await?, tenant().await?);
    let id = read_only.to_string();
    world
        .tenants()?
        .set_read_only(world.as_platform(SetReadOnlyRequest { id })?)
        .await?;
    let id = suspended.to_string();
    world
        .tenants()?
        .suspend_tenant(world.as_platform(SuspendTenantRequest { id })?)
        .await?;
    let (id, etag) = (deleted.to_string(), String::new());
    world
        .tenants()?
        .delete_tenant(world.as_platform(DeleteTenantRequest { id, etag })?)
        .await?;

    let mut callers = vec![Caller::nobody("nobody", ""), Caller::nobody("a forger", "x.y.z")];
    for (role, _) in MATRIX.into_iter().filter(|(role, _)| *role != Role::Service) {
        let client = (!role.is_platform()).then_some(active);
        callers.push(Caller::user(world, client, role, State::Active)?);
    }
    for (client, state) in [
        (read_only, State::ReadOnly),
        (suspended, State::Suspended),
        (deleted, State::Deleted),
        (ClientId::new_v7(), State::Absent),
    ] {
        callers.push(Caller::user(world, Some(client), Role::Admin, state)?);
    }
    let mut narrowed = Caller::user(world, Some(active), Role::Admin, State::Active)?;
    narrowed.name = "an admin whose token is narrowed to leads.read".to_owned();
    narrowed.token = world.stack.scoped_token(active, Role::Admin, "leads.read")?;
    narrowed.permissions = narrowed.permissions.narrowed("leads.read");
    callers.push(narrowed);
    callers.push(Caller {
        name: "a server of the suite".to_owned(),
        token: Things::service_token_for(world, active)?,
        audience: Some(Audience::Service),
        permissions: Permissions::of(Role::Service),
        state: State::Active,
    });
    Ok(callers)
}

pub async fn every_method_admits_whom_the_contract_names_and_nobody_else(world: Arc<World>) -> anyhow::Result<()> {
    let (methods, callers) = (contract()?, callers(&world).await?);
    let (mut calls, mut admitted) = (0, 0);
    for method in &methods {
        for caller in &callers {
            let tried = caller.tries(&world, method).await;
            tried.with_context(|| format!("{} called by {}", method.name(), caller.name))?;
            calls += 1;
            admitted += usize::from(caller.expected(&method.policy).is_none());
        }
    }
    println!(
        "{} methods and {} callers: {admitted} of {calls} calls admitted, each refusal as documented",
        methods.len(),
        callers.len()
    );
    ensure!(admitted > methods.len(), "only {admitted} calls were admitted");
    Ok(())
}
