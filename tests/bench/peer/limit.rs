//! What many callers at once get beyond a limit: of the peer, which counts and then inserts, and of ours.
use anyhow::{Context, ensure};
use onekeel_api::lead::CreateLeadRequest;
use onekeel_api::{ErrorReason, Fault};
use tokio::task::JoinSet;

use super::jobs::{Asks, What, new_lead};
use super::node::Peer;
use crate::bench::Bench;
use crate::jobs::Leads;
use crate::outcome::{Goal, Outcome};
use crate::progress;
use crate::world::{World, tenant_id};

/// Leads that the tenant may have.
const LIMIT: i64 = 100;
/// Nobody is told "try again" for longer.
const MOST_TRIES: u32 = 10_000;

/// Gives the peer its limits: none for most, [`LIMIT`] for the last tenant. Ours has the same one by an override.
pub async fn prepare(world: &World) -> anyhow::Result<()> {
    sqlx::raw_sql(
        "create table bench.peer_limits (client_id uuid primary key, max_leads bigint not null);
        insert into bench.peer_limits select client_id, 1000000000 from tenant.clients;
        grant select on bench.peer_limits to onekeel_lead",
    )
    .execute(&world.behind)
    .await?;
    let limited = limited(world);
    for statement in [
        "update bench.peer_limits set max_leads = $2 where client_id = $1",
        "update quota.usage set reserved = 0, cap = $2 where client_id = $1 and resource = 'leads'",
        "insert into quota.overrides (client_id, id, resource, max_units, reason, author, created_at)
            values ($1, gen_random_uuid(), 'leads', $2, 'bench', 'bench', now())",
    ] {
        sqlx::query(statement)
            .bind(tenant_id(limited))
            .bind(LIMIT)
            .execute(&world.behind)
            .await?;
    }
    sqlx::query("delete from quota.reservations where client_id = $1 and resource = 'leads'")
        .bind(tenant_id(limited))
        .execute(&world.behind)
        .await?;
    Ok(())
}

fn limited(world: &World) -> u32 {
    world.sizes.tenants + 2
}

/// Rows beyond the limit after all callers were refused, in each round.
pub async fn over_admission(bench: &Bench, peer: &Peer) -> anyhow::Result<Vec<Outcome>> {
    let tenant = limited(&bench.world);
    let asks = std::sync::Arc::new(Asks::new(&bench.world, &peer.address, What::Create));
    let leads = bench.leads(0)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let bar = progress::bar("over-admission", u64::from(bench.options.rounds));
    for _ in 0..bench.options.rounds {
        let mut callers = JoinSet::new();
        for _ in 0..bench.callers() {
            callers.spawn(peer_until_refused(asks.clone(), tenant));
        }
        theirs.push(beyond(bench, tenant, callers).await?);
        empty(bench, tenant).await?;
        let mut callers = JoinSet::new();
        for _ in 0..bench.callers() {
            callers.spawn(ours_until_refused(leads.clone(), tenant));
        }
        ours.push(beyond(bench, tenant, callers).await?);
        delete_ours(bench, &leads, tenant).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    ensure!(
        ours.iter().all(|beyond| *beyond == 0.0),
        "ours is off its limit by {ours:?}"
    );
    let told = |what: &str, values| {
        Outcome::new(
            "limit",
            format!("leads beyond a limit of {LIMIT}, {what}"),
            "",
            Goal::None,
            values,
        )
    };
    Ok(vec![told("ours", ours), told("the peer", theirs)])
}

/// Rows beyond the limit, once every caller was refused.
async fn beyond(bench: &Bench, tenant: u32, mut callers: JoinSet<anyhow::Result<()>>) -> anyhow::Result<f64> {
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    let rows: i64 = sqlx::query_scalar("select count(*) from lead.leads where client_id = $1 and deleted_at is null")
        .bind(tenant_id(tenant))
        .fetch_one(&bench.world.behind)
        .await?;
    Ok((rows - LIMIT) as f64)
}

async fn peer_until_refused(asks: std::sync::Arc<Asks>, tenant: u32) -> anyhow::Result<()> {
    for _ in 0..MOST_TRIES {
        let (status, answer) = asks.ask(tenant, "POST", "/leads", &new_lead().0).await?;
        match status {
            201 => {}
            402 => return Ok(()),
            _ => anyhow::bail!("{status}: {answer}"),
        }
    }
    anyhow::bail!("the peer never refuses")
}

async fn ours_until_refused(leads: Leads, tenant: u32) -> anyhow::Result<()> {
    for _ in 0..MOST_TRIES {
        let (_, email) = new_lead();
        let wish = CreateLeadRequest {
            lead: Some(crate::jobs::new_lead(email)),
            request_id: String::new(),
        };
        let Err(status) = leads.client().create_lead(leads.request(tenant, wish)).await else {
            continue;
        };
        match Fault::from_status(&status).reason() {
            ErrorReason::QuotaExceeded => return Ok(()),
            // Told to try again, as a client would.
            ErrorReason::Unavailable => {}
            _ => return Err(status).context("CreateLead"),
        }
    }
    anyhow::bail!("the limit neither admits nor refuses")
}

/// The peer's rows were never charged, so nobody gives their units back.
async fn empty(bench: &Bench, tenant: u32) -> anyhow::Result<()> {
    sqlx::query("delete from lead.leads where client_id = $1")
        .bind(tenant_id(tenant))
        .execute(&bench.world.behind)
        .await?;
    Ok(())
}

/// Ours are deleted by those who may, which gives the units back; then the rows make room for the peer.
async fn delete_ours(bench: &Bench, leads: &Leads, tenant: u32) -> anyhow::Result<()> {
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from lead.leads where client_id = $1 and deleted_at is null")
            .bind(tenant_id(tenant))
            .fetch_all(&bench.world.behind)
            .await?;
    for id in ids {
        let wish = onekeel_api::lead::DeleteLeadRequest {
            id: id.to_string(),
            etag: String::new(),
        };
        leads
            .client()
            .delete_lead(leads.request(tenant, wish))
            .await
            .context("DeleteLead")?;
    }
    empty(bench, tenant).await
}
