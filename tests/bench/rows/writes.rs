//! Calls that write rows.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use onekeel_api::quota::VerifyUsageRequest;
use onekeel_api::quota::limit_service_client::LimitServiceClient;
use onekeel_tenancy::Role;
use tonic::Request;

use crate::bench::Bench;
use crate::jobs::{Create, Import};
use crate::outcome::{Goal, Outcome};
use crate::scripts;
use crate::variant::Variant;
use crate::world::tenant_id;

/// Imports at once: each is a stream of many rows.
const IMPORTERS: usize = 8;

/// A lead with its charge and its event.
pub async fn create(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let (before, created) = (bench.created_rows().await?, Arc::new(AtomicU64::new(0)));
    let watched = bench.world.watched("lead", 0)?;
    let job = Create {
        leads: bench.leads(0)?,
        created: created.clone(),
    };
    bench.touch(job.clone()).await?;
    let ours = Variant::calls("CreateLead", job, bench.callers(), &watched);
    let direct = Variant::pgbench("pgbench create", bench.script("create", scripts::CREATE)?);
    let what = "CreateLead, charged and audited / pgbench of the same statements";
    let (outcome, ..) = bench
        .compare(("create", what, Goal::AtLeast(1.0, 2.5)), &ours, &direct)
        .await?;
    all_are_there(bench, before, &created).await?;
    Ok(vec![outcome])
}

/// Rows of a stream against rows one by one.
pub async fn import(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let (before, created) = (bench.created_rows().await?, Arc::new(AtomicU64::new(0)));
    let watched = bench.world.watched("lead", 0)?;
    let leads = bench.leads(0)?;
    let touch = Create {
        leads: leads.clone(),
        created: created.clone(),
    };
    bench.touch(touch).await?;
    let job = Import {
        leads,
        created: created.clone(),
    };
    let ours = Variant::calls("ImportLeads", job, IMPORTERS, &watched);
    let direct = Variant::pgbench("pgbench create", bench.script("create", scripts::CREATE)?);
    let what = "ImportLeads, rows / pgbench, single rows";
    let (outcome, ..) = bench
        .compare(("import", what, Goal::AtLeast(6.0, 12.0)), &ours, &direct)
        .await?;
    all_are_there(bench, before, &created).await?;
    Ok(vec![outcome])
}

/// As many rows are there as were acknowledged, and the accounts of a tenant say the same as its rows.
async fn all_are_there(bench: &Bench, before: u64, created: &AtomicU64) -> anyhow::Result<()> {
    let (rows, told) = (bench.created_rows().await? - before, created.load(Ordering::Relaxed));
    ensure!(
        rows == told && told > 0,
        "{told} leads were acknowledged, {rows} are there"
    );
    let token = bench.world.stack.token(None, Role::PlatformAdmin)?;
    let mut limits = LimitServiceClient::new(bench.world.stack.channel("quota", 0)?);
    let mut request = Request::new(VerifyUsageRequest {
        client_id: tenant_id(0).to_string(),
    });
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    let checks = limits.verify_usage(request).await?.into_inner().checks;
    let off: Vec<_> = checks.iter().filter(|check| check.drift != 0).collect();
    ensure!(!checks.is_empty() && off.is_empty(), "accounts are off: {off:?}");
    Ok(())
}
