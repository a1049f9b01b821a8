//! Proofs of who calls. They can be cloned and passed on, and nobody but the verifier makes one for a call.
use std::sync::Arc;

use onekeel_api::{Audience, ClientId, Fault, Policy, UserId};
use tonic::Request;

use crate::{Permissions, Role};

/// The proof that a verified caller acts inside one tenant; data cannot be reached without it.
#[derive(Clone, Debug)]
pub struct Tenant(Arc<Identity>);

#[derive(Debug)]
struct Identity {
    client: ClientId,
    user: UserId,
    role: Role,
    permissions: Permissions,
}

impl Tenant {
    pub(crate) fn verified(client: ClientId, user: &str, role: Role, permissions: Permissions) -> Self {
        Self(Arc::new(Identity {
            client,
            user: user.into(),
            role,
            permissions,
        }))
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
        Self::verified(client, job, Role::Service, Permissions::of(Role::Service))
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
}

/// The proof that a platform operator calls.
#[derive(Clone, Debug)]
pub struct Platform {
    user: UserId,
    role: Role,
    permissions: Permissions,
}

impl Platform {
    pub(crate) fn verified(user: &str, role: Role, permissions: Permissions) -> Self {
        Self {
            user: user.into(),
            role,
            permissions,
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
        Tenant::verified(client, self.user.as_str(), self.role, self.permissions)
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
        let tenant = Tenant::verified(client, name, Role::Service, Permissions::of(Role::Service));
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
    /// A user of a tenant.
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

    /// The tenant that a request names in `field`: an operator names any one; a tenant's user its own, or nothing, and
    /// every other id, there or not, gets the same answer.
    pub fn acting_for(&self, field: &str, id: &str) -> Result<Tenant, Fault> {
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

    /// Whether the caller's role, narrowed by its token, grants what the method asks for.
    pub fn may(&self, policy: &Policy) -> bool {
        let permissions = match self {
            Self::Tenant(tenant) => tenant.0.permissions,
            Self::Platform(platform) => platform.permissions,
            Self::Service(service) => service.tenant.0.permissions,
        };
        policy.audiences.contains(&self.audience()) && permissions.contains(&policy.permission)
    }
}
