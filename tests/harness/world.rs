//! A stack with eyes: the suite as it runs, and a login that sees behind the walls to check what is there.
use std::sync::atomic::{AtomicUsize, Ordering};

use onekeel_api::quota::VerifyUsageRequest;
use onekeel_api::quota::limit_service_client::LimitServiceClient;
use onekeel_api::tenant::CreateTenantRequest;
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_api::{ClientId, tenant};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::{Plan, Stack};
use onekeel_tenancy::Role;
use sqlx::PgPool;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Dns, Member, Voice};

/// What was given back is folded when the sweeper comes by.
const LONGEST_SETTLING: std::time::Duration = std::time::Duration::from_secs(60);

/// Everything that a test can reach.
pub struct World {
    /// PostgreSQL and Redis.
    pub backing: Backing,
    /// The servers.
    pub stack: Stack,
    /// A superuser's connections: no wall stops them. For looking, never for proving isolation.
    pub behind: PgPool,
    /// The DNS that the servers ask.
    pub dns: Dns,
    tenants: AtomicUsize,
}

impl World {
    /// Starts a stack on the servers that the environment names, or on private ones.
    pub async fn start(plan: &Plan) -> anyhow::Result<Self> {
        Self::on(Backing::start().await?, plan).await
    }

    /// Starts a stack on these servers.
    pub async fn on(backing: Backing, plan: &Plan) -> anyhow::Result<Self> {
        let dns = Dns::start().await?;
        let plan = plan.clone().with_env("DNS_SERVER", &dns.address.to_string());
        let stack = Stack::start(&backing, &plan).await?;
        let behind = PgPool::connect(&stack.database.admin_url).await?;
        Ok(Self {
            backing,
            stack,
            behind,
            dns,
            tenants: AtomicUsize::new(0),
        })
    }

    /// Ends everything in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.behind.close().await;
        self.stack.stop().await
    }

    /// A request of a platform administrator.
    pub fn as_platform<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        with_token(message, &self.stack.token(None, Role::PlatformAdmin)?)
    }

    /// TenantService.
    pub fn tenants(&self) -> anyhow::Result<TenantServiceClient<Channel>> {
        Ok(TenantServiceClient::new(self.stack.channel("tenant", 0)?))
    }

    /// LimitService
    pub fn limits(&self) -> anyhow::Result<LimitServiceClient<Channel>> {
        Ok(LimitServiceClient::new(self.stack.channel("quota", 0)?))
    }

    /// Every account of a tenant is what its rows say.
    pub async fn accounts_are_true(&self, id: ClientId) -> anyhow::Result<()> {
        let wish = VerifyUsageRequest {
            client_id: id.to_string(),
        };
        let checks = self
            .limits()?
            .verify_usage(self.as_platform(wish)?)
            .await?
            .into_inner()
            .checks;
        let off: Vec<_> = checks.iter().filter(|check| check.drift != 0).collect();
        anyhow::ensure!(!checks.is_empty() && off.is_empty(), "accounts are off: {off:?}");
        Ok(())
    }

    /// Creates a tenant with a slug of its own.
    pub async fn create_tenant(&self, plan: &str) -> anyhow::Result<tenant::Tenant> {
        let number = self.tenants.fetch_add(1, Ordering::Relaxed);
        let wish = CreateTenantRequest {
            display_name: format!("Tenant {number}"),
            slug: format!("tenant-{number}"),
            plan: plan.to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
        };
        Ok(self
            .tenants()?
            .create_tenant(self.as_platform(wish)?)
            .await?
            .into_inner())
    }

    /// A new tenant, and its administrator.
    pub async fn member(&self, plan: &str) -> anyhow::Result<Member> {
        let tenant = self.create_tenant(plan).await?;
        Member::new(&self.stack, ClientId::parse("id", &tenant.id)?, Role::Admin, 0)
    }

    /// Changes a tenant's plan.
    pub async fn change_plan(
        &self,
        id: ClientId,
        plan: &str,
    ) -> anyhow::Result<Result<Response<tenant::Tenant>, Status>> {
        let wish = tenant::ChangePlanRequest {
            id: id.to_string(),
            plan: plan.to_owned(),
            allow_overage: false,
        };
        Ok(self.tenants()?.change_plan(self.as_platform(wish)?).await)
    }

    /// Gives a tenant its own limit, behind the servers' backs, as an override would.
    pub async fn limit(&self, id: ClientId, resource: &str, units: i64) -> anyhow::Result<()> {
        sqlx::query(
            "insert into quota.overrides (client_id, id, resource, max_units, expires_at, reason, author, created_at)
            values ($1, $2, $3, $4, null, 'test', 'test', now())",
        )
        .bind(id.uuid())
        .bind(uuid::Uuid::now_v7())
        .bind(resource)
        .bind(units)
        .execute(&self.behind)
        .await?;
        sqlx::query("update quota.usage set cap = $3 where client_id = $1 and resource = $2")
            .bind(id.uuid())
            .bind(resource)
            .bind(units)
            .execute(&self.behind)
            .await?;
        Ok(())
    }

    /// Gives a tenant its own limit of requests and its own policy for times in which they cannot be counted.
    pub async fn limit_requests(&self, id: ClientId, units: i64, policy: &str) -> anyhow::Result<()> {
        sqlx::query(
            "insert into quota.overrides (client_id, id, resource, max_units, failure_policy, reason, author, created_at)
            values ($1, $2, 'requests_per_minute', $3, $4, 'test', 'test', now())",
        )
        .bind(id.uuid())
        .bind(uuid::Uuid::now_v7())
        .bind(units)
        .bind(policy)
        .execute(&self.behind)
        .await?;
        Ok(())
    }

    /// Living rows of a tenant's leads.
    pub async fn rows(&self, id: ClientId) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar("select count(*) from lead.leads where client_id = $1 and deleted_at is null");
        Ok(count.bind(id.uuid()).fetch_one(&self.behind).await?)
    }

    /// `used` and `reserved` of a tenant's leads as they are settled.
    pub async fn settled(&self, id: ClientId) -> anyhow::Result<(i64, i64)> {
        let usage =
            sqlx::query_as("select used, reserved from quota.usage where client_id = $1 and resource = 'leads'");
        Ok(usage.bind(id.uuid()).fetch_one(&self.behind).await?)
    }

    /// Ends the tenant's leases, whoever holds them, and waits until they and all that was given back are counted; returns
    /// what is used then.
    pub async fn settle(&self, id: ClientId) -> anyhow::Result<i64> {
        let voice = Voice::new(&self.stack, 0)?;
        let deadline = tokio::time::Instant::now() + LONGEST_SETTLING;
        let mut round = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            round.tick().await;
            let (leases, releases): (Vec<Uuid>, i64) = sqlx::query_as(
                "select array(select id from quota.reservations where client_id = $1),
                    (select count(*) from quota.releases where client_id = $1)",
            )
            .bind(id.uuid())
            .fetch_one(&self.behind)
            .await?;
            let (used, reserved) = self.settled(id).await?;
            if leases.is_empty() && (releases, reserved) == (0, 0) {
                return Ok(used);
            }
            let mut ended = Ok(0);
            for lease in &leases {
                // A call may hold it, or QuotaService may just come back.
                ended = voice.release(id, *lease).await;
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < deadline,
                "after {LONGEST_SETTLING:?}: leases {leases:?}, {releases} releases, {reserved} reserved; {ended:?}"
            );
        }
    }
}

/// A request with a bearer token and a deadline.
pub(crate) fn with_token<T>(message: T, token: &str) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    request.set_timeout(std::time::Duration::from_secs(60));
    Ok(request)
}
