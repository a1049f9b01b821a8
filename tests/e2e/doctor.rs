//! The doctor, before healthy and before sick deployments.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Database;
use onekeel_tests::{Ran, World, run};
use serde_json::Value;
use sqlx::{Connection, PgConnection, raw_sql};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::commands::onekeel;

fn doctor(database_url: &str, redis_url: &str, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = onekeel(&["doctor", "--json"])?;
    command
        .args(arguments)
        .env("DATABASE_URL", database_url)
        .env("REDIS_URL", redis_url);
    Ok(command)
}

/// What the doctor says of the check `name`: its status and what was seen.
struct Report {
    code: Option<i32>,
    report: Value,
}

impl Report {
    async fn of(mut command: Command) -> anyhow::Result<Self> {
        let Ran { code, out, err } = run(&mut command).await?;
        let report = serde_json::from_str(&out).with_context(|| format!("{out}{err}"))?;
        Ok(Self { code, report })
    }

    fn check(&self, name: &str) -> (&str, &str) {
        let found = self.report["checks"]
            .as_array()
            .and_then(|checks| checks.iter().find(|check| check["name"] == name));
        let text = |key| found.and_then(|check| check[key].as_str()).unwrap_or_default();
        (text("status"), text("seen"))
    }

    /// Fails unless this check failed, with these words and with advice, and the exit code says so.
    fn fails(&self, name: &str, words: &str) -> anyhow::Result<()> {
        let (status, seen) = self.check(name);
        ensure!(
            status == "failure" && seen.contains(words),
            "{name}, {words:?}: {}",
            self.report
        );
        ensure!(self.code == Some(1), "exit code {:?}", self.code);
        Ok(())
    }
}

pub async fn a_healthy_deployment_has_no_failure(world: Arc<World>) -> anyhow::Result<()> {
    let url = &world.stack.database.admin_url;
    let mut arguments = vec!["--pools".to_owned(), "24".to_owned()];
    for server in world.stack.servers() {
        arguments.extend(["--server".to_owned(), format!("http://{}", server.address())]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = Report::of(doctor(url, &world.backing.redis_url, &arguments)?).await?;
    ensure!(
        report.code == Some(0) && report.report["failures"] == 0,
        "{}",
        report.report
    );
    for name in [
        "postgres.reachable",
        "postgres.version",
        "postgres.clock",
        "postgres.connections",
        "postgres.migrations",
        "postgres.role.quota",
        "postgres.role.tenant",
        "postgres.role.lead",
        "postgres.role.owner",
        "postgres.rights",
        "postgres.policies",
        "postgres.transaction_age",
        "postgres.multixact_age",
        "redis.reachable",
        "redis.version",
        "redis.eviction",
        "redis.clock",
    ] {
        ensure!(report.check(name).0 == "ok", "{name}: {}", report.report);
    }
    let health = format!("server.{}.health", world.stack.address("lead", 0)?);
    ensure!(report.check(&health) == ("ok", "is ready"), "{}", report.report);
    let pools = doctor(url, &world.backing.redis_url, &["--pools", "100000"])?;
    Report::of(pools)
        .await?
        .fails("postgres.connections", "may open 100000")
}

pub async fn a_login_that_sees_little_says_so(world: Arc<World>) -> anyhow::Result<()> {
    let url = world.stack.database.url_for("lead")?;
    let report = Report::of(doctor(&url, &world.backing.redis_url, &[])?).await?;
    ensure!(report.code == Some(0), "{}", report.report);
    for name in ["postgres.migrations", "postgres.transactions"] {
        ensure!(report.check(name).0 == "warning", "{name}: {}", report.report);
    }
    ensure!(report.check("postgres.policies").0 == "ok", "{}", report.report);
    Ok(())
}

pub async fn a_broken_policy_or_schema_is_found(world: Arc<World>) -> anyhow::Result<()> {
    let database = Database::create(&world.backing.database_url).await?;
    let mut owner = PgConnection::connect(&database.admin_url).await?;
    for (statement, name, words) in [
        (
            "drop policy tenant_isolation on lead.leads",
            "postgres.policies",
            "lead.leads has no policy",
        ),
        (
            "grant delete on quota.usage to onekeel_lead",
            "postgres.rights",
            "onekeel_lead: delete on quota.usage",
        ),
        (
            "grant delete on audit.events to onekeel_tenant",
            "postgres.rights",
            "onekeel_tenant: delete on audit.events",
        ),
        (
            "grant select on lead.leads to public",
            "postgres.rights",
            "everybody: select on lead.leads",
        ),
        (
            "grant create on schema lead to onekeel_lead",
            "postgres.rights",
            "onekeel_lead: create in schema lead",
        ),
        (
            "update _sqlx_migrations set checksum = '\\x00' where version = 2",
            "postgres.migrations",
            "another text: 2",
        ),
        (
            "delete from _sqlx_migrations where version = 2",
            "postgres.migrations",
            "not yet: 2",
        ),
    ] {
        raw_sql(statement).execute(&mut owner).await?;
        let report = Report::of(doctor(&database.admin_url, &world.backing.redis_url, &[])?).await?;
        report.fails(name, words)?;
    }
    owner.close().await?;
    database.remove().await
}

pub async fn a_mighty_role_is_found(world: Arc<World>) -> anyhow::Result<()> {
    drop(world);
    // Roles belong to a whole server, so this one is the test's own.
    let backing = Backing::start_private().await?;
    let database = Database::create(&backing.database_url).await?;
    let mut owner = PgConnection::connect(&database.admin_url).await?;
    for (make, name, words, unmake) in [
        (
            "alter role onekeel_lead superuser",
            "postgres.role.lead",
            "is a superuser",
            "alter role onekeel_lead nosuperuser",
        ),
        (
            "alter role onekeel_quota bypassrls createrole",
            "postgres.role.quota",
            "bypasses row-level security; may create roles",
            "alter role onekeel_quota nobypassrls nocreaterole",
        ),
        (
            "grant onekeel_owner to onekeel_tenant",
            "postgres.role.tenant",
            "is a member of onekeel_owner",
            "revoke onekeel_owner from onekeel_tenant",
        ),
        (
            "create table public.own (); alter table public.own owner to onekeel_lead",
            "postgres.role.lead",
            "owns objects",
            "drop table public.own",
        ),
        (
            "alter role onekeel_owner login",
            "postgres.role.owner",
            "can log in",
            "alter role onekeel_owner nologin",
        ),
        (
            "alter role onekeel_lead rename to onekeel_gone",
            "postgres.role.lead",
            "does not exist",
            "alter role onekeel_gone rename to onekeel_lead",
        ),
    ] {
        raw_sql(make).execute(&mut owner).await?;
        let report = Report::of(doctor(&database.admin_url, &backing.redis_url, &[])?).await?;
        report.fails(name, words)?;
        raw_sql(unmake).execute(&mut owner).await?;
    }
    let healthy = Report::of(doctor(&database.admin_url, &backing.redis_url, &[])?).await?;
    ensure!(healthy.code == Some(0), "{}", healthy.report);
    owner.close().await?;
    database.remove().await
}

pub async fn a_redis_that_forgets_is_found(world: Arc<World>) -> anyhow::Result<()> {
    let backing = Backing::start_private().await?;
    let (_, rest) = backing.redis_url.split_once("default:").context("a password")?;
    let (password, address) = rest.split_once('@').context("an address")?;
    let mut redis = TcpStream::connect(address).await?;
    let set = format!("AUTH {password}\r\nCONFIG SET maxmemory-policy allkeys-lru\r\n");
    redis.write_all(set.as_bytes()).await?;
    let mut answer = [0; 10];
    redis.read_exact(&mut answer).await?;
    ensure!(&answer == b"+OK\r\n+OK\r\n", "{answer:?}");
    let report = Report::of(doctor(&world.stack.database.admin_url, &backing.redis_url, &[])?).await?;
    report.fails("redis.eviction", "allkeys-lru")
}

pub async fn what_cannot_be_reached_is_a_failure_without_a_secret(_world: Arc<World>) -> anyhow::Result<()> {
    let gone = (
        "postgres://u:hidden@127.0.0.1:1/none",
        "redis://default:hidden@127.0.0.1:1",
    );
    let report = Report::of(doctor(gone.0, gone.1, &["--server", "http://127.0.0.1:1"])?).await?;
    report.fails("postgres.reachable", "")?;
    report.fails("redis.reachable", "")?;
    report.fails("server.127.0.0.1:1.health", "")?;
    ensure!(!report.report.to_string().contains("hidden"), "{}", report.report);
    let nonsense = Report::of(doctor("hidden", "hidden", &[])?).await?;
    nonsense.fails("postgres.reachable", "is no postgres:// address")?;
    nonsense.fails("redis.reachable", "is no redis:// address")?;
    ensure!(!nonsense.report.to_string().contains("hidden"), "{}", nonsense.report);
    for (arguments, said) in [
        (
            ["--server", "lead:50051"],
            "must be http://host:port or https://host:port",
        ),
        (["--server", "https://lead:50051"], "needs --ca"),
        (["--ca", "/nowhere"], "cannot read /nowhere"),
    ] {
        let Ran { code, err, .. } = run(&mut doctor(gone.0, gone.1, &arguments)?).await?;
        ensure!(code == Some(2) && err.contains(said), "{arguments:?}: {code:?} {err}");
    }
    Ok(())
}
