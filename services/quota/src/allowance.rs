//! How fast a tenant may call: slices of its minute, granted by one script in Redis that all replicas share.
use std::time::{Duration, Instant};

use fred::prelude::*;
use fred::types::config::{PerformanceConfig, ReconnectPolicy};
use fred::types::scripts::Script;
use onekeel_api::quota::{AcquireAllowanceRequest, AcquireAllowanceResponse};
use onekeel_api::{Call, ClientId, Fault, Violations};
use onekeel_store::{DbResult, Store, TenantTx};
use onekeel_tenancy::Tenant;
use quick_cache::sync::Cache;
use tracing::{Instrument, Span, field};

const WINDOW: Duration = Duration::from_secs(60);
/// A slice is spent within this time, and the log counts it for as long beyond the minute.
const LIFE: Duration = Duration::from_secs(1);
const MOST_WANTED: i64 = 10_000;
/// A change of plan is effective within this time in the other replicas.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);
const REMEMBERED_TENANTS: usize = 10_000;
const LONGEST_COMMAND: Duration = Duration::from_millis(500);
const MOST_COMMANDS: usize = 10_000;

/// A checked wish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    want: i64,
    least: i64,
}

impl TryFrom<AcquireAllowanceRequest> for Wish {
    type Error = Fault;

    fn try_from(request: AcquireAllowanceRequest) -> Result<Self, Fault> {
        let (want, least) = (request.want, request.least);
        let mut wrong = Violations::new();
        wrong.check((1..=MOST_WANTED).contains(&want), "want", "must be 1 to 10,000");
        wrong.check((1..=want.max(1)).contains(&least), "least", "must be 1 to `want`");
        wrong.into_result()?;
        Ok(Self { want, least })
    }
}

/// What spans say of Redis.
struct RedisServer {
    address: String,
    port: u16,
    database: String,
}

impl RedisServer {
    fn of(config: &Config) -> Self {
        let first = config.server.hosts().into_iter().next();
        let (address, port) = first.map_or_else(Default::default, |host| (host.host.to_string(), host.port));
        let database = config.database.unwrap_or_default().to_string();
        Self {
            address,
            port,
            database,
        }
    }
}

/// Grants slices.
pub(crate) struct Allowances {
    store: Store,
    redis: Client,
    server: RedisServer,
    script: Script,
    replicas: i64,
    limits: Cache<ClientId, (i64, Instant)>,
}

impl Allowances {
    /// Connects in the background: while Redis is away, callers get UNAVAILABLE and spend their fallback.
    pub fn new(store: Store, redis_url: &str, replicas: u32) -> anyhow::Result<Self> {
        // The error of the parser may quote the address, and the address holds a password.
        let config = Config::from_url(redis_url).map_err(|_| anyhow::anyhow!("REDIS_URL is no redis:// address"))?;
        let server = RedisServer::of(&config);
        let performance = PerformanceConfig {
            default_command_timeout: LONGEST_COMMAND,
            ..PerformanceConfig::default()
        };
        let redis = Builder::from_config(config)
            .set_performance_config(performance)
            .set_policy(ReconnectPolicy::new_linear(0, 500, 50))
            .with_connection_config(|connection| {
                connection.max_command_buffer_len = MOST_COMMANDS;
                connection.max_command_attempts = 1;
            })
            .build()?;
        redis.connect();
        Ok(Self {
            store,
            redis,
            server,
            script: Script::from_lua(include_str!("allowance.lua")),
            replicas: replicas.into(),
            limits: Cache::new(REMEMBERED_TENANTS),
        })
    }

    /// A slice of the tenant's minute; none, with a time to wait, when less than the least is left.
    pub async fn acquire(&self, tenant: &Tenant, wish: Wish) -> Result<AcquireAllowanceResponse, Fault> {
        let limit = self.limit(tenant).await?;
        let (log, sum) = (key(tenant, "log"), key(tenant, "sum"));
        let window = i64::try_from((WINDOW + LIFE).as_micros()).unwrap_or(i64::MAX);
        let asked =
            self.script
                .evalsha_with_reload(&self.redis, vec![log, sum], vec![limit, wish.want, wish.least, window]);
        let span = self.script_span();
        let asked: Result<Vec<i64>, _> = asked.instrument(span.clone()).await;
        let answer = asked.map_err(|error| {
            span.record("otel.status_code", "error");
            span.record("error.type", field::debug(error.kind()));
            metrics::counter!("onekeel_allowance_store_failures_total").increment(1);
            Fault::unavailable("the request allowance cannot be counted; try again").cause(error)
        })?;
        let [granted, remaining, wait] = answer[..] else {
            return Err(Fault::internal("the allowance script answered with another shape"));
        };
        let outcome = if granted > 0 { "granted" } else { "refused" };
        metrics::counter!("onekeel_allowance_grants_total", "outcome" => outcome).increment(1);
        metrics::counter!("onekeel_allowance_granted_requests_total").increment(granted.try_into().unwrap_or_default());
        let wait = Duration::from_micros(wait.try_into().unwrap_or_default());
        Ok(AcquireAllowanceResponse {
            granted,
            life: prost_types::Duration::try_from(LIFE).ok(),
            limit,
            remaining,
            retry_after: (granted == 0)
                .then(|| prost_types::Duration::try_from(wait).ok())
                .flatten(),
            fallback_per_minute: (limit / self.replicas).max(1),
        })
    }

    /// By the OpenTelemetry conventions for databases, in a call that is recorded.
    fn script_span(&self) -> Span {
        if !Call::is_recorded() {
            return Span::none();
        }
        tracing::info_span!(
            "redis.script",
            otel.name = "EVALSHA allowance.lua",
            otel.kind = "client",
            otel.status_code = field::Empty,
            db.system.name = "redis",
            db.namespace = &*self.server.database,
            db.operation.name = "EVALSHA",
            db.query.summary = "EVALSHA allowance.lua",
            error.type = field::Empty,
            server.address = &*self.server.address,
            server.port = i64::from(self.server.port),
        )
    }

    /// The tenant's plan has changed; ask anew.
    pub fn forget(&self, tenant: &Tenant) {
        self.limits.remove(&tenant.id());
    }

    async fn limit(&self, tenant: &Tenant) -> Result<i64, Fault> {
        if let Some((limit, asked)) = self.limits.get(&tenant.id())
            && asked.elapsed() < REMEMBERED_FOR
        {
            return Ok(limit);
        }
        let asked = Instant::now();
        let limit = self.store.run(tenant, "read_request_limit", read_limit).await?;
        self.limits.insert(tenant.id(), (limit, asked));
        Ok(limit)
    }
}

/// One hash tag for each tenant: its keys lie in one slot of a cluster.
fn key(tenant: &Tenant, what: &str) -> String {
    format!("onekeel:{{{}}}:allowance:{what}", tenant.id())
}

async fn read_limit(tx: &mut TenantTx) -> Result<i64, Fault> {
    let client = tx.client_id();
    let limit = sqlx::query_scalar!(
        r#"select coalesce(o.max_units, p.requests_per_minute) as "limit!"
        from quota.assignments a
        join quota.plans p on p.id = a.plan_id and p.version = a.plan_version
        left join lateral (
            select max_units from quota.overrides
            where client_id = $1 and resource = 'requests_per_minute'
                and (expires_at is null or expires_at > clock_timestamp())
            order by created_at desc, id desc limit 1
        ) o on true
        where a.client_id = $1 and a.state = 'active'"#,
        client
    );
    let limit = limit.fetch_optional(tx.conn()).await.db()?;
    limit.ok_or_else(|| Fault::unavailable("the tenant has no limits yet; try again"))
}
