//! Two tenants and every method: what A may do with its own, B may not even know of.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::lead::Lead;
use onekeel_api::quota::{
    AcquireAllowanceRequest, AssignPlanRequest, ReleaseReservationRequest, ReserveItem, ReserveRequest, Resource,
};
use onekeel_api::tenant::{
    ChangePlanRequest, CreateTenantRequest, GetTenantContextRequest, ReactivateTenantRequest, SuspendTenantRequest,
};
use onekeel_tests::{World, lead_named, methods, same_refusal};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::two::{Two, refusal};

/// What a method did with B's token and A's object, and with B's token and an object that never was.
struct Tried {
    foreign: Status,
    absent: Status,
}

impl Two {
    /// Methods that name an object: A's own call succeeds first, then B's is refused as if nothing were there.
    async fn named(&self, method: &str) -> anyhow::Result<Option<Tried>> {
        let (id, none) = (self.lead.id.clone(), Uuid::now_v7().to_string());
        let tried = match method {
            "onekeel.lead.v1.LeadService/GetLead" => {
                self.a.get(&id).await?;
                Tried {
                    foreign: refusal(self.b.get(&id).await)?,
                    absent: refusal(self.b.get(&none).await)?,
                }
            }
            "onekeel.lead.v1.LeadService/UpdateLead" => {
                let change = |id: &str| Lead {
                    id: id.to_owned(),
                    score: 7,
                    ..Lead::default()
                };
                self.a.update(change(&id), &["score"]).await?;
                let foreign = refusal(self.b.update(change(&id), &["score"]).await)?;
                Tried {
                    foreign,
                    absent: refusal(self.b.update(change(&none), &["score"]).await)?,
                }
            }
            "onekeel.lead.v1.LeadService/DeleteLead" => {
                let other = self.a.create(lead_named("gone")).await?;
                self.a.delete(&other.id, "").await?;
                Tried {
                    foreign: refusal(self.b.delete(&id, "").await)?,
                    absent: refusal(self.b.delete(&none, "").await)?,
                }
            }
            "onekeel.tenant.v1.TenantService/GetTenant" => {
                self.a.tenant(&self.a.id.to_string()).await?;
                let foreign = refusal(self.b.tenant(&self.a.id.to_string()).await)?;
                Tried {
                    foreign,
                    absent: refusal(self.b.tenant(&none).await)?,
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(tried))
    }

    /// Methods of operators: an operator's call succeeds first, then a tenant's own administrator is refused.
    async fn of_platform(&self, method: &str) -> anyhow::Result<Option<Tried>> {
        let spare = self.world.create_tenant("basic").await?.id;
        let ids = [spare, Uuid::now_v7().to_string()];
        let mut refusals = Vec::new();
        macro_rules! call {
            ($call:ident, $message:expr) => {{
                let message = $message;
                self.tenants()?
                    .$call(self.world.as_platform(message(&ids[0]))?)
                    .await?;
                for id in &ids {
                    refusals.push(refusal(
                        self.tenants()?.$call(self.as_user(&self.b, message(id))?).await,
                    )?);
                }
            }};
        }
        match method {
            "onekeel.tenant.v1.TenantService/CreateTenant" => call!(create_tenant, |id: &String| CreateTenantRequest {
                display_name: "Other".to_owned(),
                slug: format!("o-{}", &id[id.len() - 12..]),
                plan: "basic".to_owned(),
                request_id: String::new(),
            }),
            "onekeel.tenant.v1.TenantService/ChangePlan" => call!(change_plan, |id: &String| ChangePlanRequest {
                id: id.clone(),
                plan: "professional".to_owned(),
                allow_overage: false,
            }),
            "onekeel.tenant.v1.TenantService/SuspendTenant" => {
                call!(suspend_tenant, |id: &String| SuspendTenantRequest { id: id.clone() });
            }
            "onekeel.tenant.v1.TenantService/ReactivateTenant" => {
                call!(reactivate_tenant, |id: &String| ReactivateTenantRequest {
                    id: id.clone()
                });
            }
            _ => return Ok(None),
        }
        let [foreign, absent] = <[Status; 2]>::try_from(refusals).ok().context("two refusals")?;
        Ok(Some(Tried { foreign, absent }))
    }

    /// Methods of services: a service's call for A succeeds first, then B's administrator is refused.
    async fn of_services(&self, method: &str) -> anyhow::Result<Option<Tried>> {
        let mut refusals = Vec::new();
        macro_rules! call {
            ($client:ident, $call:ident, $message:expr) => {{
                self.$client()?.$call(self.as_service(&self.a, $message)?).await?;
                for _ in 0..2 {
                    refusals.push(refusal(
                        self.$client()?.$call(self.as_user(&self.b, $message)?).await,
                    )?);
                }
            }};
        }
        let item = ReserveItem {
            resource: Resource::Leads.into(),
            min: 1,
            max: 1,
        };
        match method {
            "onekeel.tenant.v1.TenantService/GetTenantContext" => {
                call!(tenants, get_tenant_context, GetTenantContextRequest {});
            }
            "onekeel.quota.v1.QuotaService/AssignPlan" => {
                call!(
                    quota,
                    assign_plan,
                    AssignPlanRequest {
                        plan: "enterprise".to_owned(),
                        allow_overage: false
                    }
                );
            }
            "onekeel.quota.v1.QuotaService/Reserve" => {
                let wish = || ReserveRequest {
                    items: vec![item],
                    ttl: None,
                    request_id: String::new(),
                };
                call!(quota, reserve, wish());
            }
            "onekeel.quota.v1.QuotaService/ReleaseReservation" => {
                self.a_lease_of_another_tenant_stays().await?;
                call!(
                    quota,
                    release_reservation,
                    ReleaseReservationRequest {
                        id: Uuid::now_v7().to_string()
                    }
                );
            }
            "onekeel.quota.v1.QuotaService/AcquireAllowance" => {
                call!(quota, acquire_allowance, AcquireAllowanceRequest { want: 1, least: 1 });
            }
            _ => return Ok(None),
        }
        let [foreign, absent] = <[Status; 2]>::try_from(refusals).ok().context("two refusals")?;
        Ok(Some(Tried { foreign, absent }))
    }

    /// A service that acts for B cannot end A's lease; the answer is that of a lease that never was.
    async fn a_lease_of_another_tenant_stays(&self) -> anyhow::Result<()> {
        let item = ReserveItem {
            resource: Resource::Leads.into(),
            min: 1,
            max: 1,
        };
        let wish = ReserveRequest {
            items: vec![item],
            ttl: None,
            request_id: String::new(),
        };
        let leases = self
            .quota()?
            .reserve(self.as_service(&self.a, wish)?)
            .await?
            .into_inner()
            .leases;
        let id = leases[0].id.clone();
        let release = self.as_service(&self.b, ReleaseReservationRequest { id: id.clone() })?;
        self.quota()?.release_reservation(release).await?;
        let there: i64 = sqlx::query_scalar("select count(*) from quota.reservations where id = $1")
            .bind(Uuid::try_parse(&id)?)
            .fetch_one(&self.world.behind)
            .await?;
        ensure!(there == 1, "B's service ended A's lease");
        Ok(())
    }
}

pub async fn every_method_keeps_tenants_apart(world: Arc<World>) -> anyhow::Result<()> {
    let two = Two::new(world).await?;
    let mut without = Vec::new();
    for method in methods() {
        let mut tried = two.named(&method).await.with_context(|| method.clone())?;
        if tried.is_none() {
            tried = two.of_platform(&method).await.with_context(|| method.clone())?;
        }
        if tried.is_none() {
            tried = two.of_services(&method).await.with_context(|| method.clone())?;
        }
        match tried {
            Some(Tried { foreign, absent }) => {
                ensure!(
                    matches!(foreign.code(), Code::NotFound | Code::PermissionDenied),
                    "{method}: {foreign:?}"
                );
                same_refusal(&foreign, &absent).with_context(|| method.clone())?;
            }
            None if two.unnamed(&method).await.with_context(|| method.clone())? => {}
            None => without.push(method),
        }
    }
    ensure!(without.is_empty(), "no isolation case for {without:?}");
    ensure!(
        two.a.get(&two.lead.id).await?.score == 7,
        "what B tried changed A's lead"
    );
    Ok(())
}
