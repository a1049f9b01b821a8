//! How fast a tenant may call: slices of its minute, granted by one script in Redis that all replicas share.
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::prelude::*;
use fred::types::config::{PerformanceConfig, ReconnectPolicy};
use fred::types::scripts::Script;
use onekeel_api::quota::{AcquireAllowanceRequest, AcquireAllowanceResponse, FailurePolicy};
use onekeel_api::{Call, Fault, Violations};
use onekeel_server::every;
use onekeel_store::Store;
use onekeel_tenancy::Tenant;
use tracing::{Instrument, Span, field};

use crate::rate::{self, Rate, Rates};
use crate::reckoning::{Reckoning, SLACK};

const WINDOW: Duration = Duration::from_secs(60);
/// A slice is spent within this time, and the log counts it for as long beyond the minute; with nearly all of
/// the limit left, it lives so much longer, since each question costs, and still longer where a tenant calls now and then.
const LIFE: Duration = Duration::from_secs(1);
const FAR_LONGER: Duration = Duration::from_secs(4);
const FARTHEST_LONGER: Duration = Duration::from_secs(59);
const MOST_WANTED: i64 = 10_000;
const MOST_SPENT_ALONE: i64 = 1_000_000_000;
const LONGEST_COMMAND: Duration = Duration::from_millis(500);
const MOST_COMMANDS: usize = 10_000;

/// A checked wish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    want: i64,
    least: i64,
    spent_alone: i64,
}

impl TryFrom<AcquireAllowanceRequest> for Wish {
    type Error = Fault;

    fn try_from(request: AcquireAllowanceRequest) -> Result<Self, Fault> {
        let (want, least, spent_alone) = (request.want, request.least, request.spent_alone);
        let mut wrong = Violations::new();
        wrong.check((1..=MOST_WANTED).contains(&want), "want", "must be 1 to 10,000");
        wrong.check((1..=want.max(1)).contains(&least), "least", "must be 1 to `want`");
        wrong.check(
            (0..=MOST_SPENT_ALONE).contains(&spent_alone),
            "spent_alone",
            "must be 0 to 1,000,000,000",
        );
        wrong.into_result()?;
        Ok(Self {
            want,
            least,
            spent_alone,
        })
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
    redis: Client,
    server: RedisServer,
    script: Script,
    replicas: i64,
    rates: Rates,
    reckoning: Reckoning,
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
            redis,
            server,
            script: Script::from_lua(include_str!("allowance.lua")),
            replicas: replicas.into(),
            rates: Rates::new(store),
            reckoning: Reckoning::default(),
        })
    }

    /// A slice of the tenant's minute; none, with a time to wait, when less than the least is left.
    pub async fn acquire(&self, tenant: &Tenant, wish: Wish) -> Result<AcquireAllowanceResponse, Fault> {
        let rate = self.rates.of(tenant).await?;
        self.grant(tenant, rate, wish).await
    }

    /// As [`Allowances::acquire`] for a tenant whose rate is known; `None` where it would have to be looked up first.
    pub async fn acquire_known(&self, tenant: &Tenant, wish: Wish) -> Result<Option<AcquireAllowanceResponse>, Fault> {
        match self.rates.known(tenant) {
            Some(rate) => self.grant(tenant, rate, wish).await.map(Some),
            None => Ok(None),
        }
    }

    async fn grant(&self, tenant: &Tenant, rate: Rate, wish: Wish) -> Result<AcquireAllowanceResponse, Fault> {
        let keys = vec![
            key(tenant, "log"),
            key(tenant, "sum"),
            "onekeel:allowance:redis".to_owned(),
        ];
        let sent = Instant::now();
        let (earliest, slack) = self.reckoning.at(sent);
        let arguments = vec![
            rate.limit,
            wish.want,
            wish.least,
            // The clock may be set by as much as the reckoning does not notice.
            micros(WINDOW + LIFE + SLACK),
            wish.spent_alone,
            i64::from(rate.policy == FailurePolicy::Closed),
            earliest,
            slack,
            micros(FAR_LONGER),
            micros(FARTHEST_LONGER),
        ];
        let asked = self.script.evalsha_with_reload(&self.redis, keys, arguments);
        let span = self.script_span();
        let asked: Result<Vec<i64>, _> = asked.instrument(span.clone()).await;
        let answer = asked.map_err(|error| {
            span.record("otel.status_code", "error");
            span.record("error.type", field::debug(error.kind()));
            metrics::counter!("onekeel_allowance_store_failures_total").increment(1);
            Fault::unavailable("the request allowance cannot be counted; try again").cause(error)
        })?;
        let [granted, remaining, wait, time, stepped, uncertain, longer] = answer[..] else {
            return Err(Fault::internal("the allowance script answered with another shape"));
        };
        self.reckoning.note(time, sent);
        if stepped != 0 {
            metrics::counter!("onekeel_allowance_clock_steps_total").increment(1);
            tracing::warn!(
                microseconds = stepped,
                "the clock of Redis was set; allowances go on by their own"
            );
        }
        let outcome = match (granted > 0, uncertain > 0) {
            (true, _) => "granted",
            (false, false) => "refused",
            (false, true) => "uncertain",
        };
        metrics::counter!("onekeel_allowance_grants_total", "outcome" => outcome).increment(1);
        metrics::counter!("onekeel_allowance_granted_requests_total").increment(granted.try_into().unwrap_or_default());
        let wait = Duration::from_micros(wait.try_into().unwrap_or_default());
        let life = LIFE + Duration::from_micros(longer.try_into().unwrap_or_default());
        Ok(AcquireAllowanceResponse {
            granted,
            life: prost_types::Duration::try_from(life).ok(),
            limit: rate.limit,
            remaining,
            retry_after: (granted == 0)
                .then(|| prost_types::Duration::try_from(wait).ok())
                .flatten(),
            fallback_per_minute: (rate.limit / self.replicas).max(1),
            failure_policy: rate.policy.into(),
            uncertain: uncertain > 0,
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
        self.rates.forget(tenant);
    }
}

/// Keeps what is remembered of tenants' rates true, for as long as it is polled.
pub(crate) async fn hear_of_changes(allowances: Arc<Allowances>) {
    every(rate::ROUND, rate::TASK, || allowances.rates.hear()).await;
}

fn key(tenant: &Tenant, what: &str) -> String {
    format!("onekeel:{{{}}}:allowance:{what}", tenant.id())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
