//! The accounts held against the rows.
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::quota::{ReconcileUsageRequest, VerifyUsageRequest};
use onekeel_tenancy::Role;
use onekeel_tests::{Ran, World, lead_named, run};

use crate::commands::onekeel;

pub async fn a_drift_is_found_told_and_mended_once(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("professional").await?;
    for name in ["ann", "bob"] {
        member.create(lead_named(name)).await?;
    }
    // With leases open and with leases settled.
    world.accounts_are_true(member.id).await?;
    world.settle(member.id).await?;
    world.accounts_are_true(member.id).await?;
    sqlx::query("update quota.usage set used = used + 5 where client_id = $1 and resource = 'leads'")
        .bind(member.id.uuid())
        .execute(&world.behind)
        .await?;
    let wish = VerifyUsageRequest {
        client_id: member.id.to_string(),
    };
    let mut limits = world.limits()?;
    let checks = limits.verify_usage(world.as_platform(wish)?).await?.into_inner().checks;
    let off: Vec<_> = checks.iter().filter(|check| check.drift != 0).collect();
    ensure!(
        off.len() == 1 && (off[0].counted, off[0].accounted, off[0].drift) == (2, 7, -5),
        "{checks:?}"
    );

    let (quota, tenant) = (world.stack.address("quota", 0)?, world.stack.address("tenant", 0)?);
    let verify = |scope: &[&str]| -> anyhow::Result<_> {
        let mut command = onekeel(&["quota", "verify"])?;
        command
            .args(scope)
            .env("ONEKEEL_TOKEN", world.stack.token(None, Role::PlatformViewer)?);
        command
            .env("QUOTA_ADDR", format!("http://{quota}"))
            .env("TENANT_ADDR", format!("http://{tenant}"));
        Ok(command)
    };
    let Ran { code, out, err } = run(&mut verify(&["--all"])?).await?;
    ensure!(code == Some(1), "{code:?} {err}");
    let told = out
        .lines()
        .find(|line| line.contains(&member.id.to_string()))
        .unwrap_or_default();
    ensure!(told.split_whitespace().skip(1).eq(["leads", "2", "7", "-5"]), "{out}");

    let mend = || ReconcileUsageRequest {
        client_id: member.id.to_string(),
        reason: "a drill".to_owned(),
    };
    let corrected = limits
        .reconcile_usage(world.as_platform(mend())?)
        .await?
        .into_inner()
        .corrected;
    ensure!(corrected.len() == 1 && corrected[0].drift == -5, "{corrected:?}");
    let again = limits
        .reconcile_usage(world.as_platform(mend())?)
        .await?
        .into_inner()
        .corrected;
    ensure!(again.is_empty(), "mended twice: {again:?}");
    ensure!(world.settle(member.id).await? == 2, "two leads");
    let audit: (i64, i64, String, String) =
        sqlx::query_as("select counted, accounted, reason, author from quota.reconciliations where client_id = $1")
            .bind(member.id.uuid())
            .fetch_one(&world.behind)
            .await?;
    ensure!(
        (audit.0, audit.1, audit.2.as_str()) == (2, 7, "a drill") && !audit.3.is_empty(),
        "{audit:?}"
    );
    let id = member.id.to_string();
    let Ran { code, out, err } = run(&mut verify(&["--client", &id])?).await?;
    ensure!(
        code == Some(0) && out.contains("4 accounts, 0 with a drift"),
        "{code:?} {out} {err}"
    );
    Ok(())
}
