//! Proofs of who calls. They can be cloned and passed on, and nobody but the verifier makes one for a call.
use std::sync::Arc;

use onekeel_api::tenant::CallerKind;
use onekeel_api::{Audience, ClientId, Fault, Policy, UserId};
use tonic::Request;
use uuid::Uuid;

use crate::{Permissions, Role};

/// The proof that a verified caller acts inside one tenant; data cannot be reached without it.
#[derive(Clone, Debug)]
pub struct Tenant(Arc<Identity>);

#[derive(Debug)]
struct Identity {
    client: ClientId,
    user: UserId,
    role: Role,
    kind: CallerKind,
    permissions: Permissions,
    /// Why support acts here.
    reason: Option<Box<str>>,
    /// Of a caller that has shown an API key.
    api_key: Option<ApiKeyId>,
}

/// Which API key a caller has shown, and which of its secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiKeyId {
    /// The key.
    pub key: Uuid,
    /// The secret: another one after each rotation.
    pub secret: Uuid,
}

impl ApiKeyId {
    /// As whom the key acts.
    pub(crate) fn user(self) -> String {
        format!("api_key:{}", self.key)
    }
}

impl Tenant {
    /// A caller that belongs to the tenant.
    pub(crate) fn verified(client: ClientId, user: &str, role: Role, permissions: Permissions) -> Self {
        Self::as_kind(CallerKind::User, client, user.into(), role, permissions)
    }

    fn as_kind(kind: CallerKind, client: ClientId, user: UserId, role: Role, permissions: Permissions) -> Self {
        Self(Arc::new(Identity {
            client,
            user,
            role,
            kind,
            permissions,
            reason: None,
            api_key: None,
        }))
    }

    /// A program of the tenant that has shown an API key.
    pub(crate) fn of_api_key(client: ClientId, key: ApiKeyId, role: Role, permissions: Permissions) -> Self {
        Self(Arc::new(Identity {
            client,
            user: key.user().as_str().into(),
            role,
            kind: CallerKind::ApiKey,
            permissions,
            reason: None,
            api_key: Some(key),
        }))
    }

    /// The tenant of whoever shows an API key's secret, to look the key up there: it may call nothing. Only the store's
    /// directory of secrets may call this; the lint `disallowed_methods` keeps everyone else out.
    pub fn for_shown_key(client: ClientId, key: ApiKeyId) -> Self {
        Self::of_api_key(client, key, Role::Viewer, Permissions::none())
    }

    /// The tenant of a call from one of its users; refuses any other caller.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Fault> {
        match Caller::of(request)? {
            Caller::Tenant(tenant) => Ok(tenant),
            Caller::Platform(_) | Caller::Service(_) => Err(Fault::permission_denied()),
        }
    }

    /// The tenant for work that no caller waits for. Only the store's walk over a directory may call this;
    /// the lint `disallowed_methods` keeps everyone else out.
    pub fn for_background(client: ClientId, job: &'static str) -> Self {
        let permissions = Permissions::of(Role::Service);
        Self::as_kind(CallerKind::Background, client, job.into(), Role::Service, permissions)
    }

    /// The tenant's id.
    pub fn id(&self) -> ClientId {
        self.0.client
    }

    /// Who acts in it.
    pub fn user(&self) -> &UserId {
        &self.0.user
    }

    /// What that user is.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// As what it acts.
    pub fn kind(&self) -> CallerKind {
        self.0.kind
    }

    /// What it may do: its role's permissions, narrowed by its token.
    pub fn permissions(&self) -> Permissions {
        self.0.permissions
    }

    /// The API key that it has shown; `None` for every other caller.
    pub fn api_key(&self) -> Option<ApiKeyId> {
        self.0.api_key
    }

    /// Why an operator acts in the tenant for support; `None` for every other caller.
    pub fn support_reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
}

/// The proof that a platform operator calls.
#[derive(Clone, Debug)]
pub struct Platform {
    user: UserId,
    role: Role,
    permissions: Permissions,
    /// What it may do inside of a tenant, for support.
    in_support: Permissions,
}

impl Platform {
    pub(crate) fn verified(user: &str, role: Role, permissions: Permissions, in_support: Permissions) -> Self {
        Self {
            user: user.into(),
            role,
            permissions,
            in_support,
        }
    }

    /// The operator of a call; refuses any other caller.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Fault> {
        match Caller::of(request)? {
            Caller::Platform(platform) => Ok(platform),
            Caller::Tenant(_) | Caller::Service(_) => Err(Fault::permission_denied()),
        }
    }

    /// Lets the operator act in the tenant that a platform method names.
    pub fn act_for(&self, client: ClientId) -> Tenant {
        let user = self.user.clone();
        Tenant::as_kind(CallerKind::Operator, client, user, self.role, self.permissions)
    }

    /// Whether the operator may do inside of a tenant what the method asks for.
    pub(crate) fn may_support(&self, policy: &Policy) -> bool {
        policy.admits_support() && self.in_support.contains(&policy.permission)
    }

    /// Lets the operator act inside of a tenant as one of its users, for a reason that its audit trail shows.
    pub(crate) fn support(&self, client: ClientId, reason: &str) -> Tenant {
        Tenant(Arc::new(Identity {
            client,
            user: self.user.clone(),
            role: self.role,
            kind: CallerKind::Operator,
            permissions: self.in_support,
            reason: Some(reason.into()),
            api_key: None,
        }))
    }
}

/// The proof that another server of the suite calls, acting for one tenant.
#[derive(Clone, Debug)]
pub struct Service {
    name: Arc<str>,
    tenant: Tenant,
}

impl Service {
    pub(crate) fn verified(name: &str, client: ClientId) -> Self {
        let permissions = Permissions::of(Role::Service);
        let tenant = Tenant::as_kind(CallerKind::Service, client, name.into(), Role::Service, permissions);
        Self {
            name: name.into(),
            tenant,
        }
    }

    /// The service of a call; refuses any other caller.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Fault> {
        match Caller::of(request)? {
            Caller::Service(service) => Ok(service),
            Caller::Tenant(_) | Caller::Platform(_) => Err(Fault::permission_denied()),
        }
    }

    /// Its name, for example `lead`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tenant that it acts for.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// Whoever calls, verified.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A user of a tenant, or an operator who acts in it for support.
    Tenant(Tenant),
    /// A platform operator.
    Platform(Platform),
    /// A server of the suite.
    Service(Service),
}

impl Caller {
    /// The caller of a request; a request that no auth layer has seen is refused.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Fault> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| Fault::internal("the service is mounted without its auth layer"))
    }

    /// The tenant that the caller belongs to or acts for; a platform operator names one call by call.
    pub fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Service(service) => Some(&service.tenant),
            Self::Platform(_) => None,
        }
    }

    /// The tenant that a request may name in `field`: an operator any one; a tenant's user its own, or nothing, and
    /// every other id, there or not, gets the same answer.
    pub fn act_in(&self, field: &str, id: &str) -> Result<Tenant, Fault> {
        match self {
            Self::Platform(platform) => Ok(platform.act_for(ClientId::parse(field, id)?)),
            Self::Tenant(own) if id.is_empty() || ClientId::parse(field, id)? == own.id() => Ok(own.clone()),
            Self::Tenant(_) => Err(Fault::not_found()),
            Self::Service(_) => Err(Fault::permission_denied()),
        }
    }

    /// The audience that the caller belongs to.
    pub fn audience(&self) -> Audience {
        match self {
            Self::Tenant(_) => Audience::Tenant,
            Self::Platform(_) => Audience::Platform,
            Self::Service(_) => Audience::Service,
        }
    }

    /// Whether the method is for such callers; a service must be named.
    pub fn is_named(&self, policy: &Policy) -> bool {
        let named = |service: &Service| policy.callers.iter().any(|name| *name == *service.name);
        let service = if let Self::Service(service) = self {
            named(service)
        } else {
            true
        };
        service && policy.audiences.contains(&self.audience())
    }

    /// Whether the caller's role, narrowed by its token, grants what the method asks for.
    pub fn may(&self, policy: &Policy) -> bool {
        let permissions = match self {
            Self::Tenant(tenant) => tenant.0.permissions,
            Self::Platform(platform) => platform.permissions,
            Self::Service(service) => service.tenant.0.permissions,
        };
        self.is_named(policy) && permissions.contains(&policy.permission)
    }
}
