//! The layer after authentication: is the tenant active, may it be called from there and by that host, may the
//! caller do this, and is there allowance left?
use std::task::{Context, Poll};

use futures_util::TryFutureExt;
use futures_util::future::{BoxFuture, Either, MapOk};
use http::{Request, Response};
use onekeel_api::tenant::{HostOwner, TenantState};
use onekeel_api::{Call, ErrorReason, Fault, HostName, Origin, Policy};
use onekeel_tenancy::{Caller, Tenant};
use tonic::Status;
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use crate::context::Known;
use crate::{Gate, Guarded};

/// Puts [`Admission`] around a service.
#[derive(Clone)]
pub struct AdmissionLayer(Gate);

impl AdmissionLayer {
    /// A layer that asks `gate`.
    pub fn new(gate: Gate) -> Self {
        Self(gate)
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission {
            inner,
            gate: self.0.clone(),
        }
    }
}

/// A call that was let in at once.
type Passed<F, R> = MapOk<F, fn(Response<R>) -> Response<Guarded<R>>>;

/// Lets admitted requests through; must stand inside of the auth layer.
#[derive(Clone)]
pub struct Admission<S> {
    inner: S,
    gate: Gate,
}

impl<S, B, R> Service<Request<B>> for Admission<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Default + Send,
{
    type Response = Response<Guarded<R>>;
    type Error = S::Error;
    type Future = Either<Passed<S::Future, R>, BoxFuture<'static, Result<Self::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let policy = Call::current_policy();
        if self.gate.admits_at_once(request.extensions().get(), policy.as_deref()) {
            return Either::Left(self.inner.call(request).map_ok(unguarded));
        }
        // The one that was polled ready goes with the future; its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        Either::Right(Box::pin(async move {
            let caller = request.extensions().get::<Caller>().cloned();
            let admitted = gate.admit(caller.as_ref(), policy.as_deref());
            if let Err(fault) = admitted.instrument(admission_span()).await {
                return Ok(Status::from(fault).into_http());
            }
            let refusal = policy.and_then(|policy| gate.watch(caller.as_ref(), &policy));
            let Some(mut refusal) = refusal else {
                return Ok(unguarded(inner.call(request).await?));
            };
            tokio::select! {
                answered = inner.call(request) => Ok(answered?.map(|body| Guarded::new(body, Some(refusal)))),
                status = &mut refusal => Ok(status.into_http()),
            }
        }))
    }
}

fn unguarded<R>(response: Response<R>) -> Response<Guarded<R>> {
    response.map(|body| Guarded::new(body, None))
}

/// In a call that is recorded: what is asked of other services before the work begins stands below it.
fn admission_span() -> Span {
    if Call::is_recorded() {
        tracing::info_span!("admission")
    } else {
        Span::none()
    }
}

impl Gate {
    /// Whether it is clear without asking anybody that a call may pass, as nearly every one may; it has spent its allowance
    /// then. Whatever else there is to say of a call is said by [`Gate::admit`].
    fn admits_at_once(&self, caller: Option<&Caller>, policy: Option<&Policy>) -> bool {
        let (Some(caller), Some(policy)) = (caller, policy) else {
            return false;
        };
        let Caller::Tenant(tenant) = caller else {
            return caller.may(policy);
        };
        // A recorded call shows its admission, an open stream is watched, and support pays nothing.
        let plain = !Call::is_recorded() && !policy.is_stream() && tenant.support_reason().is_none();
        let now = Call::beginning();
        plain
            && caller.may(policy)
            && self.contexts.known(tenant, now).is_some_and(|known| {
                matches!(look(&known, tenant, policy), Ok(None))
                    && self.allowances.spend_at_once(tenant, policy.cost.into(), now)
            })
    }

    /// State, address, host, permission, allowance; in this order, so that a suspended tenant learns no more than that.
    async fn admit(&self, caller: Option<&Caller>, policy: Option<&Policy>) -> Result<(), Fault> {
        let policy = policy.ok_or_else(|| Fault::internal("a call has no policy"))?;
        let Some(caller) = caller else {
            let public = policy.audiences.contains(&onekeel_api::Audience::Public);
            return if public {
                Ok(())
            } else {
                Err(Fault::permission_denied())
            };
        };
        let Caller::Tenant(tenant) = caller else {
            return check_permission(caller, policy);
        };
        let open = self.check_tenant(tenant, policy).await;
        let admitted = open.and_then(|()| check_permission(caller, policy));
        if tenant.support_reason().is_some() {
            // The tenant did not ask for this call, so it does not pay with its requests.
            return admitted;
        }
        if let Err(fault) = admitted {
            // A token that counts no more is told what every bad token is told, and nothing of the tenant.
            if fault.reason() != ErrorReason::Unauthenticated {
                self.allowances.announce(tenant);
            }
            return Err(fault);
        }
        self.allowances.spend(tenant, policy.cost.into()).await
    }

    /// What the tenant's own state and choice say of the present call.
    pub(crate) async fn check_tenant(&self, tenant: &Tenant, policy: &Policy) -> Result<(), Fault> {
        let known = self.contexts.get(tenant).await?;
        let Some(host) = look(&known, tenant, policy)? else {
            return Ok(());
        };
        match self.hosts.owner(tenant, &host).await? {
            HostOwner::Nobody | HostOwner::Caller => Ok(()),
            HostOwner::Other | HostOwner::Unspecified => Err(Fault::new(ErrorReason::TenantMismatch, "access denied")),
        }
    }
}

/// What the tenant's context says of the present call; the host that TenantService has still to be asked about. The usual
/// host is the tenant's own or a name of the platform's network.
fn look(known: &Known, tenant: &Tenant, policy: &Policy) -> Result<Option<HostName>, Fault> {
    known.ended.check(tenant)?;
    check_state(known.state, tenant, policy)?;
    // Outside of a call nobody knows from where it comes.
    let looked = Call::with_current(|call| {
        call.note_plan(&known.plan);
        let Origin { address, host } = call.origin();
        let foreign = |host: &&HostName| !host.is_local() && !known.is_at(host);
        (known.admits(*address), host.as_ref().filter(foreign).cloned())
    });
    let (admitted, host) = looked.unwrap_or_else(|| (known.admits(None), None));
    // Support does not come from the tenant's networks, and its trail tells of every look.
    if !admitted && tenant.support_reason().is_none() {
        return Err(Fault::new(
            ErrorReason::AddressNotAllowed,
            "the tenant's allowlist does not have the caller's address",
        ));
    }
    Ok(host)
}

fn check_state(state: TenantState, tenant: &Tenant, policy: &Policy) -> Result<(), Fault> {
    match state {
        TenantState::Active => Ok(()),
        TenantState::ReadOnly if !policy.writes => Ok(()),
        TenantState::ReadOnly => Err(Fault::new(
            ErrorReason::TenantReadOnly,
            "the tenant is read-only at present",
        )),
        // Support may look why.
        TenantState::Suspended if !policy.writes && tenant.support_reason().is_some() => Ok(()),
        TenantState::Suspended => Err(Fault::new(ErrorReason::TenantSuspended, "the tenant is suspended")),
        TenantState::Provisioning => Err(Fault::unavailable("the tenant is still being set up; try again")),
        TenantState::Deleted | TenantState::Unspecified => Err(Fault::permission_denied()),
    }
}

fn check_permission(caller: &Caller, policy: &Policy) -> Result<(), Fault> {
    if caller.may(policy) {
        Ok(())
    } else {
        Err(Fault::permission_denied())
    }
}
