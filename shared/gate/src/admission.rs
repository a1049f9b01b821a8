//! The layer after authentication: is the tenant active, may the caller do this, and is there allowance left?
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use onekeel_api::tenant::TenantState;
use onekeel_api::{Call, ErrorReason, Fault, Policy};
use onekeel_tenancy::{Caller, Tenant};
use tonic::Status;
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use crate::Gate;

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
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready goes with the future; its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        Box::pin(async move {
            let caller = request.extensions().get::<Caller>().cloned();
            let policy = request.extensions().get::<Arc<Policy>>().cloned();
            match gate.admit(caller, policy).instrument(admission_span()).await {
                Ok(()) => inner.call(request).await,
                Err(fault) => Ok(Status::from(fault).into_http()),
            }
        })
    }
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
    /// State, permission, allowance; in this order, so that a suspended tenant learns no more than that.
    async fn admit(&self, caller: Option<Caller>, policy: Option<Arc<Policy>>) -> Result<(), Fault> {
        let policy = policy.ok_or_else(|| Fault::internal("the admission layer stands outside of the auth layer"))?;
        let Some(caller) = caller else {
            let public = policy.audiences.contains(&onekeel_api::Audience::Public);
            return if public {
                Ok(())
            } else {
                Err(Fault::permission_denied())
            };
        };
        let Caller::Tenant(tenant) = &caller else {
            return check_permission(&caller, &policy);
        };
        let state = self.check_state(tenant, &policy).await;
        if let Err(fault) = state.and_then(|()| check_permission(&caller, &policy)) {
            self.allowances.announce(tenant);
            return Err(fault);
        }
        self.allowances.spend(tenant, policy.cost.into()).await
    }

    async fn check_state(&self, tenant: &Tenant, policy: &Policy) -> Result<(), Fault> {
        match self.contexts.get(tenant).await?.state() {
            TenantState::Active => Ok(()),
            TenantState::ReadOnly if !policy.writes => Ok(()),
            TenantState::ReadOnly => Err(Fault::new(
                ErrorReason::TenantReadOnly,
                "the tenant is read-only at present",
            )),
            TenantState::Suspended => Err(Fault::new(ErrorReason::TenantSuspended, "the tenant is suspended")),
            TenantState::Provisioning => Err(Fault::unavailable("the tenant is still being set up; try again")),
            TenantState::Deleted | TenantState::Unspecified => Err(Fault::permission_denied()),
        }
    }
}

fn check_permission(caller: &Caller, policy: &Policy) -> Result<(), Fault> {
    if caller.may(policy) {
        Ok(())
    } else {
        Err(Fault::permission_denied())
    }
}
