//! The states that a caller's tenant can be in, and a tenant in each.
use onekeel_api::ClientId;
use onekeel_api::tenant::address_service_client::AddressServiceClient;
use onekeel_api::tenant::{
    DeleteTenantRequest, IpAllowlist, SetIpAllowlistRequest, SetReadOnlyRequest, SuspendTenantRequest, Tenant,
};
use onekeel_tests::World;

/// In which state a caller's tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    ReadOnly,
    Suspended,
    Deleted,
    Absent,
    /// Active, with an allowlist that the caller's address is not on.
    Closed,
    /// Active, but the API key is revoked that the caller's token was given for.
    Revoked,
}

/// A tenant in each state.
pub struct Tenants {
    pub active: Tenant,
    pub read_only: Tenant,
    pub suspended: Tenant,
    pub deleted: Tenant,
    pub closed: Tenant,
}

impl Tenants {
    pub async fn make(world: &World) -> anyhow::Result<Self> {
        let tenant = async || {
            let tenant = world.create_tenant("enterprise").await?;
            let id = ClientId::parse("id", &tenant.id)?;
            world.limit(id, "requests_per_minute", 2_000_000).await?;
            anyhow::Ok(tenant)
        };
        let made = Self {
            active: tenant().await?,
            read_only: tenant().await?,
            suspended: tenant().await?,
            deleted: tenant().await?,
            closed: tenant().await?,
        };
        let mut tenants = world.tenants()?;
        let id = made.read_only.id.clone();
        let read_only = world.as_platform(SetReadOnlyRequest { id })?;
        tenants.set_read_only(read_only).await?;
        let id = made.suspended.id.clone();
        let suspended = world.as_platform(SuspendTenantRequest { id })?;
        tenants.suspend_tenant(suspended).await?;
        let (id, etag) = (made.deleted.id.clone(), String::new());
        let deleted = world.as_platform(DeleteTenantRequest { id, etag })?;
        tenants.delete_tenant(deleted).await?;
        let allowlist = IpAllowlist {
            client_id: made.closed.id.clone(),
            networks: vec!["203.0.113.0/24".to_owned()],
            ..IpAllowlist::default()
        };
        let elsewhere = world.as_platform(SetIpAllowlistRequest {
            allowlist: Some(allowlist),
            ..SetIpAllowlistRequest::default()
        })?;
        let mut addresses = AddressServiceClient::new(world.stack.channel("tenant", 0)?);
        addresses.set_ip_allowlist(elsewhere).await?;
        Ok(made)
    }

    /// Each with its state, and one that never was.
    pub fn all(&self) -> anyhow::Result<[(ClientId, State); 6]> {
        let id = |tenant: &Tenant| ClientId::parse("id", &tenant.id);
        Ok([
            (id(&self.active)?, State::Active),
            (id(&self.read_only)?, State::ReadOnly),
            (id(&self.suspended)?, State::Suspended),
            (id(&self.deleted)?, State::Deleted),
            (id(&self.closed)?, State::Closed),
            (ClientId::new_v7(), State::Absent),
        ])
    }
}
