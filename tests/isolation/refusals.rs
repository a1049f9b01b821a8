//! Every method of the contract and everyone who could call it: whom the contract lets in gets in, everyone else is
//! refused for the reason that the contract documents.
use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::tenant::Tenant;
use onekeel_api::{Audience, ClientId, ErrorReason, Policy};
use onekeel_operator::SERVICES;
use onekeel_tenancy::{MATRIX, Permissions, REASON_HEADER, Role, TENANT_HEADER};
use onekeel_tests::{Method, World, contract, keeps_contract};
use serde_json::json;

use crate::keyed;
use crate::states::{State, Tenants};
use crate::things::Things;

/// What only those are refused for who may not come in; whoever is in may still be told that the request is wrong.
const AT_THE_DOOR: [ErrorReason; 7] = [
    ErrorReason::Unauthenticated,
    ErrorReason::PermissionDenied,
    ErrorReason::TenantSuspended,
    ErrorReason::TenantReadOnly,
    ErrorReason::AddressNotAllowed,
    ErrorReason::TenantMismatch,
    ErrorReason::RateLimited,
];

const REASON: &str = "a look at every method";

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// Someone who calls.
struct Caller {
    name: String,
    token: String,
    /// As whom the token speaks; `None` for a token that proves nothing.
    audience: Option<Audience>,
    permissions: Permissions,
    state: State,
    support: Option<Support>,
    way: Way,
    /// Which server of the suite it is.
    service: Option<&'static str>,
}

/// How a caller comes here.
#[derive(Clone, Debug, Default)]
struct Way {
    headers: Vec<(&'static str, String)>,
    /// By the host of a tenant that is not its own.
    foreign_host: bool,
    /// By a proxy that nobody can read.
    unreadable: bool,
}

/// The headers of a caller that would act in a tenant for support.
struct Support {
    client: ClientId,
    reason: &'static str,
    /// What its role may do there; nothing where nobody with that role may come in.
    permissions: Permissions,
    state: State,
}

impl Support {
    fn expected(&self, policy: &Policy) -> Option<ErrorReason> {
        if !policy.admits_support() || !self.permissions.contains(&policy.permission) {
            Some(ErrorReason::PermissionDenied)
        } else if self.reason.is_empty() {
            Some(ErrorReason::InvalidArgument)
        } else {
            match self.state {
                State::Suspended if policy.writes => Some(ErrorReason::TenantSuspended),
                State::Deleted | State::Absent => Some(ErrorReason::PermissionDenied),
                State::ReadOnly if policy.writes => Some(ErrorReason::TenantReadOnly),
                State::Active | State::ReadOnly | State::Suspended | State::Closed | State::Revoked => None,
            }
        }
    }
}

impl Caller {
    fn nobody(name: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: token.to_owned(),
            audience: None,
            permissions: Permissions::of(Role::Viewer).narrowed(""),
            state: State::Active,
            support: None,
            way: Way::default(),
            service: None,
        }
    }

    fn server(world: &World, service: &'static str, client: ClientId, state: State) -> anyhow::Result<Self> {
        Ok(Self {
            name: format!("the {service} server for a tenant that is {state:?}"),
            token: Things::service_token_for(world, service, client)?,
            audience: Some(Audience::Service),
            permissions: Permissions::of(Role::Service),
            state,
            support: None,
            way: Way::default(),
            service: Some(service),
        })
    }

    /// The same caller, at a host that is its tenant's own or not.
    fn at(mut self, host: &str, foreign_host: bool) -> Self {
        self.name = format!("{} at {host}", self.name);
        self.way.headers.push((FORWARDED_HOST, host.to_owned()));
        self.way.foreign_host = foreign_host;
        self
    }

    /// The same caller, behind a proxy that says this of its address.
    fn behind(mut self, forwarded_for: &str) -> Self {
        self.name = format!("{} behind a proxy that says {forwarded_for:?}", self.name);
        self.way.headers.push((FORWARDED_FOR, forwarded_for.to_owned()));
        self.way.unreadable = true;
        self
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
            support: None,
            way: Way::default(),
            service: None,
        })
    }

    /// The same caller with headers that name a tenant in a state.
    fn in_support(mut self, role: Role, client: ClientId, state: State, reason: &'static str) -> Self {
        let permissions = role.in_support().map(Permissions::of);
        self.name = format!(
            "{} with headers for a tenant that is {state:?}, reason {reason:?}",
            self.name
        );
        self.support = Some(Support {
            client,
            reason,
            permissions: permissions.unwrap_or_else(|| self.permissions.narrowed("")),
            state,
        });
        self
    }

    /// What the contract's declaration means for this caller: `None` lets it in.
    fn expected(&self, policy: &Policy) -> Option<ErrorReason> {
        if self.way.unreadable {
            return Some(ErrorReason::InvalidArgument);
        }
        if policy.audiences.contains(&Audience::Public) {
            return None;
        }
        let Some(audience) = self.audience else {
            return Some(ErrorReason::Unauthenticated);
        };
        let mismatch = self.way.foreign_host.then_some(ErrorReason::TenantMismatch);
        if let Some(support) = &self.support {
            return support.expected(policy).or(mismatch);
        }
        if !policy.audiences.contains(&audience) {
            return Some(ErrorReason::PermissionDenied);
        }
        let named = |service: &str| policy.callers.iter().any(|name| name == service);
        if self.service.is_some_and(|service| !named(service)) {
            return Some(ErrorReason::PermissionDenied);
        }
        let may = self.permissions.contains(&policy.permission);
        let forbidden = (!may).then_some(ErrorReason::PermissionDenied);
        if audience != Audience::Tenant {
            // Neither belongs to a tenant, nor comes by its host or from its network.
            return forbidden;
        }
        match self.state {
            State::Suspended => Some(ErrorReason::TenantSuspended),
            State::ReadOnly if policy.writes => Some(ErrorReason::TenantReadOnly),
            State::Deleted | State::Absent => Some(ErrorReason::PermissionDenied),
            State::Closed => Some(ErrorReason::AddressNotAllowed),
            State::Revoked => Some(ErrorReason::Unauthenticated),
            State::Active | State::ReadOnly => mismatch.or(forbidden),
        }
    }

    async fn tries(&self, world: &World, method: &Method) -> anyhow::Result<()> {
        // The request may be empty: whoever is refused is refused before anybody looks at it.
        let client = self.support.as_ref().map(|support| support.client.to_string());
        let way = self.way.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let mut headers: Vec<_> = way.collect();
        if let (Some(support), Some(client)) = (&self.support, &client) {
            headers.push((TENANT_HEADER, client.as_str()));
            if !support.reason.is_empty() {
                headers.push((REASON_HEADER, support.reason));
            }
        }
        let answer = method
            .call_with(&world.stack, &self.token, &headers, &json!({}))
            .await?;
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
/// that is narrowed to one permission, a server of the suite, in support, and by every way.
async fn callers(world: &Arc<World>) -> anyhow::Result<Vec<Caller>> {
    let tenants = Tenants::make(world).await?;
    let active = ClientId::parse("id", &tenants.active.id)?;
    let mut callers = vec![Caller::nobody("nobody", ""), Caller::nobody("a forger", "x.y.z")];
    for (role, _) in MATRIX.into_iter().filter(|(role, _)| *role != Role::Service) {
        let client = (!role.is_platform()).then_some(active);
        callers.push(Caller::user(world, client, role, State::Active)?);
    }
    let mut narrowed = Caller::user(world, Some(active), Role::Admin, State::Active)?;
    narrowed.name = "an admin whose token is narrowed to leads.read".to_owned();
    narrowed.token = world.stack.scoped_token(active, Role::Admin, "leads.read")?;
    narrowed.permissions = narrowed.permissions.narrowed("leads.read");
    callers.push(narrowed);
    let [living, revoked] = keyed::tokens(world, active, Role::Agent).await?;
    let mut program = Caller::user(world, Some(active), Role::Agent, State::Active)?;
    (program.name, program.token) = ("a program with an API key".to_owned(), living);
    callers.push(program);
    let mut program = Caller::user(world, Some(active), Role::Agent, State::Revoked)?;
    (program.name, program.token) = ("a program whose API key is revoked".to_owned(), revoked);
    callers.push(program);
    for service in SERVICES {
        callers.push(Caller::server(world, service, active, State::Active)?);
    }
    let of_active = || Caller::user(world, Some(active), Role::Admin, State::Active);
    for (client, state) in tenants.all()? {
        callers.push(Caller::user(world, Some(client), Role::Admin, state)?);
        callers.push(Caller::server(world, "lead", client, state)?);
        for role in [Role::PlatformAdmin, Role::PlatformViewer] {
            let operator = Caller::user(world, None, role, State::Active)?;
            callers.push(operator.in_support(role, client, state, REASON));
        }
        callers.push(of_active()?.in_support(Role::Admin, client, state, REASON));
        let server = Caller::server(world, "lead", active, State::Active)?;
        callers.push(server.in_support(Role::Service, client, state, REASON));
    }
    let unexplained = Caller::user(world, None, Role::PlatformAdmin, State::Active)?;
    callers.push(unexplained.in_support(Role::PlatformAdmin, active, State::Active, ""));
    callers.extend(by_every_way(world, &tenants)?);
    Ok(callers)
}

/// Who comes by a host, or by a proxy that nobody can read.
fn by_every_way(world: &World, tenants: &Tenants) -> anyhow::Result<Vec<Caller>> {
    let host = |tenant: &Tenant| format!("{}.example.com", tenant.slug);
    let (own, foreign) = (host(&tenants.active), host(&tenants.read_only));
    let active = ClientId::parse("id", &tenants.active.id)?;
    let admin = |client: &str, state| {
        let client = ClientId::parse("id", client)?;
        Caller::user(world, Some(client), Role::Admin, state)
    };
    let operator = || Caller::user(world, None, Role::PlatformAdmin, State::Active);
    let support = || Ok::<_, anyhow::Error>(operator()?.in_support(Role::PlatformAdmin, active, State::Active, REASON));
    let of_active = || admin(&tenants.active.id, State::Active);
    let viewer = Caller::user(world, Some(active), Role::Viewer, State::Active)?;
    Ok(vec![
        of_active()?.at(&own, false),
        of_active()?.at(&foreign, true),
        of_active()?.at("nobody-has-it.example.com", true),
        of_active()?.at("nobody-has-proved.example.net", false),
        viewer.at(&foreign, true),
        admin(&tenants.suspended.id, State::Suspended)?.at(&foreign, true),
        admin(&tenants.closed.id, State::Closed)?.at(&foreign, true),
        support()?.at(&own, false),
        support()?.at(&foreign, true),
        operator()?.at(&foreign, false),
        Caller::server(world, "lead", active, State::Active)?.at(&foreign, false),
        Caller::nobody("nobody", "").at(&own, false),
        of_active()?.behind("nonsense"),
        Caller::nobody("nobody", "").behind("nonsense"),
    ])
}

pub async fn every_method_admits_whom_the_contract_names_and_nobody_else(world: Arc<World>) -> anyhow::Result<()> {
    let (methods, callers) = (contract()?, callers(&world).await?);
    let (mut calls, mut admitted) = (0, 0);
    let mut reasons = BTreeSet::new();
    for method in &methods {
        for caller in &callers {
            let tried = caller.tries(&world, method).await;
            tried.with_context(|| format!("{} called by {}", method.name(), caller.name))?;
            calls += 1;
            let expected = caller.expected(&method.policy);
            admitted += usize::from(expected.is_none());
            reasons.extend(expected.map(ErrorReason::name));
        }
    }
    println!(
        "{} methods and {} callers: {admitted} of {calls} calls admitted, each refusal as documented",
        methods.len(),
        callers.len()
    );
    // Otherwise a reason would be documented that nobody was seen to get.
    let doors = AT_THE_DOOR
        .into_iter()
        .filter(|reason| *reason != ErrorReason::RateLimited);
    for reason in doors.map(ErrorReason::name) {
        ensure!(reasons.contains(reason), "nobody was refused for {reason}");
    }
    ensure!(admitted > methods.len(), "only {admitted} calls were admitted");
    Ok(())
}
