//! Redis: whether it answers, and whether it keeps what it is given.
use std::time::{Duration, Instant, SystemTime};

use fred::prelude::*;
use fred::types::CustomCommand;
use fred::types::config::{PerformanceConfig, ReconnectPolicy};

use super::clock::Asked;
use super::findings::{Findings, Status};

const LONGEST: Duration = Duration::from_secs(5);
const SLOW: Duration = Duration::from_millis(10);
const OLDEST: (u32, u32) = (6, 2);

/// Every check of Redis at `url`.
pub async fn look(findings: &mut Findings, url: &str) {
    let client = match tokio::time::timeout(LONGEST, connect(url)).await {
        Ok(Ok(client)) => client,
        Ok(Err(why)) => return unreachable_by(findings, &why),
        Err(_) => return unreachable_by(findings, "no answer within 5 s"),
    };
    if let Err(error) = look_closer(findings, &client).await {
        unreachable_by(findings, &error.to_string());
    }
    if let Err(error) = client.quit().await {
        findings.warning(
            "redis.end",
            format!("the connection did not end: {error}"),
            "look at Redis' log",
        );
    }
}

fn unreachable_by(findings: &mut Findings, why: &str) {
    findings.failure(
        "redis.reachable",
        why,
        "check REDIS_URL, the server and the way to it; until then servers spend a share of the last known limits",
    );
}

async fn connect(url: &str) -> Result<Client, String> {
    // The error of the parser may quote the address, and the address holds a password.
    let config = Config::from_url(url).map_err(|_| "REDIS_URL is no redis:// address".to_owned())?;
    let performance = PerformanceConfig {
        default_command_timeout: LONGEST,
        ..PerformanceConfig::default()
    };
    let client = Builder::from_config(config)
        .set_performance_config(performance)
        .set_policy(ReconnectPolicy::new_constant(1, 0))
        .build()
        .map_err(|error| error.to_string())?;
    client.init().await.map_err(|error| error.to_string())?;
    Ok(client)
}

async fn look_closer(findings: &mut Findings, client: &Client) -> Result<(), Error> {
    let command = |name: &'static str| CustomCommand::new_static(name, None, false);
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        client.custom::<String, String>(command("PING"), Vec::new()).await?;
        best = best.min(began.elapsed());
    }
    let status = if best > SLOW { Status::Warning } else { Status::Ok };
    let seen = format!("answers in {:.2} ms", best.as_secs_f64() * 1000.0);
    findings.judge("redis.reachable", status, seen, "run QuotaService nearer to Redis");

    let info: String = client.custom::<String, String>(command("INFO"), Vec::new()).await?;
    let value = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("unknown").trim().to_owned()
    };
    let version = value("redis_version");
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let number = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let status = if number >= OLDEST { Status::Ok } else { Status::Failure };
    findings.judge(
        "redis.version",
        status,
        format!("Redis {version}"),
        "upgrade to Redis 6.2 or newer",
    );

    let policy = value("maxmemory_policy");
    let status = if policy == "noeviction" {
        Status::Ok
    } else {
        Status::Failure
    };
    let advice =
        "set maxmemory-policy noeviction: an evicted key is a forgotten limit, and tenants get more than their plan";
    findings.judge(
        "redis.eviction",
        status,
        format!("maxmemory-policy is {policy}"),
        advice,
    );

    let before = SystemTime::now();
    let time: Vec<String> = client
        .custom::<Vec<String>, String>(command("TIME"), Vec::new())
        .await?;
    let after = SystemTime::now();
    let part = |place: usize| {
        time.get(place)
            .and_then(|part| part.parse::<f64>().ok())
            .unwrap_or_default()
    };
    let other = part(0) + part(1) / 1e6;
    Asked { before, after, other }.judge(findings, "redis.clock", "Redis");
    Ok(())
}
