//! A new certificate and a new authority, in the order in which an operator brings them in.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CreateLeadRequest, GetLeadRequest};
use onekeel_operator::stack::{Authority, Plan, Stack, endpoint, signed};
use onekeel_server::Resend;
use onekeel_tests::{Member, World, lead_named};

use crate::extra::request;

const LONGEST_RELOAD: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(40);
/// Half keep their connection, half make a new one for each call.
const CALLERS: usize = 8;

/// Waits until every server's log says for the `times`th time that new files of this kind are in use.
async fn wait_for_reloads(stack: &Stack, of: &str, times: usize) -> anyhow::Result<()> {
    let told = format!("new TLS files are in use tls.of=\"{of}\"");
    let deadline = tokio::time::Instant::now() + LONGEST_RELOAD;
    let mut round = tokio::time::interval(Duration::from_millis(100));
    loop {
        round.tick().await;
        let late: BTreeSet<_> = ["quota-0", "quota-1", "tenant-0", "lead-0"]
            .into_iter()
            .filter(|name| {
                let log = std::fs::read_to_string(stack.folder().join(format!("{name}.log")));
                log.unwrap_or_default().matches(&told).count() < times
            })
            .collect();
        if late.is_empty() {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{late:?} did not take a new {of}"
        );
    }
}

struct Load {
    world: World,
    /// What callers trust: both authorities, as any client would during a change.
    trusted: String,
    calls: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    async fn channel(&self) -> anyhow::Result<Resend> {
        let endpoint = endpoint(&self.world.stack.address("lead", 0)?, Some(&self.trusted))?;
        Ok(endpoint.connect().await?.into())
    }

    async fn call_on(self: Arc<Self>, member: Member, reconnect: bool) -> anyhow::Result<()> {
        let mut leads = LeadServiceClient::new(self.channel().await?);
        let mut round = tokio::time::interval(PACE);
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            round.tick().await;
            if reconnect {
                leads = LeadServiceClient::new(self.channel().await.context("a new connection")?);
            }
            let wish = CreateLeadRequest {
                lead: Some(lead_named(&format!("lead{number}"))),
                request_id: String::new(),
            };
            let created = leads.create_lead(request(&self.world, &member, wish)?).await;
            let id = created.with_context(|| format!("creation {number}"))?.into_inner().id;
            let found = leads
                .get_lead(request(&self.world, &member, GetLeadRequest { id })?)
                .await;
            found.with_context(|| format!("look {number}"))?;
            self.calls.fetch_add(2, Ordering::Relaxed);
        }
        Ok(())
    }
}

pub async fn certificate_and_authority_change_under_load_without_a_failed_call(
    suite: Arc<World>,
) -> anyhow::Result<()> {
    drop(suite);
    let plan = Plan::default()
        .with_tls()
        .with("quota", 2)
        .with_env("TLS_RELOAD_SECONDS", "1");
    // Connections between the servers end all the time, so that new ones are made in every phase.
    let mut world = World::start(&plan.with_env("MAX_CONNECTION_AGE_SECONDS", "2")).await?;
    let mut members = Vec::new();
    for _ in 0..CALLERS {
        members.push(world.member("enterprise").await?);
    }
    let mut certificates = world.stack.certificates.take().context("the stack speaks TLS")?;
    let (old, new) = (
        certificates.authority.clone(),
        Authority::generate("the next authority")?,
    );
    let both = format!("{}{}", old.pem, new.pem);
    let address = world.stack.address("lead", 0)?;
    let load = Arc::new(Load {
        world,
        trusted: both.clone(),
        calls: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let mut callers = tokio::task::JoinSet::new();
    for (number, member) in members.into_iter().enumerate() {
        callers.spawn(load.clone().call_on(member, number % 2 == 0));
    }
    let change = async {
        let stack = &load.world.stack;
        // A certificate of the same authority, then trust in both authorities, then certificates of the new one, then
        // trust in the new one alone.
        for (signer, trusted, certificate_times, authority_times) in [
            (&*old, &old.pem, 1, 0),
            (&*old, &both, 2, 1),
            (&new, &both, 3, 1),
            (&new, &new.pem, 4, 2),
        ] {
            let files = signed(signer, trusted)?;
            certificates.publish(&files)?;
            wait_for_reloads(stack, "certificate", certificate_times).await?;
            wait_for_reloads(stack, "authority", authority_times).await?;
            let before = load.calls.load(Ordering::Relaxed);
            let deadline = tokio::time::Instant::now() + LONGEST_RELOAD;
            let mut round = tokio::time::interval(Duration::from_millis(50));
            while load.calls.load(Ordering::Relaxed) < before + 400 {
                ensure!(tokio::time::Instant::now() < deadline, "no calls after a change");
                round.tick().await;
            }
        }
        anyhow::Ok(())
    };
    let changed = tokio::select! {
        changed = change => changed,
        Some(ended) = callers.join_next() => ended?.and(Err(anyhow::anyhow!("a caller ended early"))),
    };
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    changed?;
    let calls = load.calls.load(Ordering::Relaxed);
    println!("{calls} calls over four changes, none failed");
    endpoint(&address, Some(&new.pem))?
        .connect()
        .await
        .context("trust in the new authority alone")?;
    ensure!(
        endpoint(&address, Some(&old.pem))?.connect().await.is_err(),
        "the old authority is still of use"
    );
    let load = Arc::try_unwrap(load).ok().context("a caller still runs")?;
    load.world.stop().await
}
