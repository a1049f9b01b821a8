//! The servers' own keys, and what servers may ask of one another.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{
    AcquireAllowanceRequest, AcquireAllowancesRequest, AllowanceWish, AssignPlanRequest, ReleaseReservationRequest,
};
use onekeel_api::tenant::GetTenantContextRequest;
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_operator::SERVICES;
use onekeel_operator::stack::{Plan, Server};
use onekeel_tenancy::{Signer, Tenant};
use onekeel_tests::{Member, World, fault_of, lead_named, scrape, values};
use tonic::Request;

use crate::command::onekeel;
use crate::extra::LONGEST_CHANGE;

const CALLERS: usize = 3;
const PACE: Duration = Duration::from_millis(25);

fn acting_for<T>(world: &World, service: &str, member: &Member, message: T) -> anyhow::Result<Request<T>> {
    let token = token_for(world, service, member)?;
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    request.set_timeout(Duration::from_secs(20));
    Ok(request)
}

pub async fn a_method_for_services_admits_its_callers_only(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut quota = QuotaServiceClient::new(world.stack.channel("quota", 0)?);
    let mut tenant = TenantServiceClient::new(world.stack.channel("tenant", 0)?);
    let (mut admitted, mut refused) = (0, 0);
    for service in SERVICES {
        let assign = acting_for(&world, service, &member, AssignPlanRequest::default())?;
        let release = acting_for(&world, service, &member, ReleaseReservationRequest::default())?;
        let context = acting_for(&world, service, &member, GetTenantContextRequest::default())?;
        let answers = [
            (["tenant"].contains(&service), quota.assign_plan(assign).await.err()),
            (
                ["campaign", "lead"].contains(&service),
                quota.release_reservation(release).await.err(),
            ),
            (true, tenant.get_tenant_context(context).await.err()),
        ];
        for (place, (may, error)) in answers.into_iter().enumerate() {
            let reason = error
                .map(|status| fault_of::<()>(Err(status)))
                .transpose()?
                .map(|fault| fault.reason());
            let denied = reason == Some(ErrorReason::PermissionDenied);
            ensure!(denied != may, "{service}, method {place}: {reason:?}");
            ensure!(
                reason != Some(ErrorReason::Unauthenticated),
                "{service} is not believed"
            );
            admitted += usize::from(may);
            refused += usize::from(!may);
        }
    }
    ensure!((admitted, refused) == (7, 5), "{admitted} admitted, {refused} refused");
    Ok(())
}

/// The token with which a service acts for a tenant.
#[expect(
    clippy::disallowed_methods,
    reason = "a service's signer needs a tenant, and no server is asked for one here"
)]
fn token_for(world: &World, service: &str, member: &Member) -> anyhow::Result<String> {
    let key = std::fs::read_to_string(world.stack.secrets.folder.join(format!("{service}.key")))?;
    let token = Signer::from_pem(service, &key)?.token_for(&Tenant::for_background(member.id, "test"))?;
    Ok(token.to_string())
}

pub async fn a_wish_for_a_tenant_brings_the_callers_own_proof(world: Arc<World>) -> anyhow::Result<()> {
    let (one, other) = (world.member("basic").await?, world.member("basic").await?);
    let mut quota = QuotaServiceClient::new(world.stack.channel("quota", 0)?);
    let wish = AcquireAllowanceRequest {
        want: 1,
        least: 1,
        spent_alone: 0,
    };
    // Whose limit is not known has to ask alone first.
    for member in [&one, &other] {
        quota
            .acquire_allowance(acting_for(&world, "lead", member, wish)?)
            .await?;
    }
    let own = token_for(&world, "lead", &one)?;
    let request = one.request(());
    let users = request
        .metadata()
        .get("authorization")
        .context("a user's token")?
        .to_str()?;
    let users = users.strip_prefix("Bearer ").context("a bearer token")?;
    let too_little = AcquireAllowanceRequest { want: 0, ..wish };
    let wishes = [
        (own.clone(), Some(wish), true),
        (token_for(&world, "lead", &other)?, Some(wish), true),
        (token_for(&world, "campaign", &one)?, Some(wish), false),
        (users.to_owned(), Some(wish), false),
        (String::new(), Some(wish), false),
        (own.clone(), None, false),
        (own, Some(too_little), false),
    ];
    let message = AcquireAllowancesRequest {
        wishes: wishes
            .iter()
            .map(|(token, request, _)| AllowanceWish {
                token: token.clone(),
                request: *request,
            })
            .collect(),
    };
    let answer = quota
        .acquire_allowances(acting_for(&world, "lead", &one, message)?)
        .await?;
    let granted = answer.into_inner().grants;
    let granted: Vec<bool> = granted.iter().map(|grant| grant.allowance.is_some()).collect();
    let expected = wishes.map(|(_, _, granted)| granted);
    ensure!(granted == expected, "{granted:?}");
    let nothing = acting_for(&world, "lead", &one, AcquireAllowancesRequest::default())?;
    let fault = fault_of(quota.acquire_allowances(nothing).await)?;
    ensure!(fault.reason() == ErrorReason::InvalidArgument, "{fault}");
    Ok(())
}

struct Load {
    world: World,
    calls: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    /// Creations: each asks for the tenant's state, for requests or for units, as the lead server.
    async fn create(self: Arc<Self>, member: Member) -> anyhow::Result<()> {
        let mut round = tokio::time::interval(PACE);
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            round.tick().await;
            let lead = lead_named(&format!("lead{number}"));
            let made = member
                .create(lead)
                .await
                .with_context(|| format!("creation {number}"))?;
            member.get(&made.id).await?;
            self.calls.fetch_add(2, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits until every server, or those of one service, have taken new keys of a source once more.
    async fn wait_for_reload(&self, source: &str, only: Option<&str>, before: &[f64]) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LONGEST_CHANGE;
        let mut round = tokio::time::interval(Duration::from_millis(50));
        loop {
            round.tick().await;
            let now = self.reloads(source, only).await?;
            if now.iter().zip(before).all(|(now, before)| now > before) {
                return Ok(());
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{source} was not taken everywhere: {now:?}"
            );
        }
    }

    async fn reloads(&self, source: &str, only: Option<&str>) -> anyhow::Result<Vec<f64>> {
        let mut counts = Vec::new();
        let chosen = |server: &&Server| only.is_none_or(|only| server.service() == only);
        for server in self.world.stack.servers().filter(chosen) {
            let text = scrape(&server.metrics_address()).await?;
            counts.push(values(&text, "onekeel_key_reloads_total", &[source]).iter().sum());
        }
        Ok(counts)
    }

    async fn rotate(&self, service: &str) -> anyhow::Result<()> {
        let folder = self.world.stack.secrets.folder.clone();
        for (step, source, only) in [
            ("announce", "peers", None),
            ("switch", "service_key", Some(service)),
            ("retire", "peers", None),
        ] {
            let before = self.reloads(source, only).await?;
            let arguments = ["rotate", step, "--service", service];
            onekeel(&folder, &arguments).await?;
            self.wait_for_reload(source, only, &before).await.context(step)?;
            let (calls, deadline) = (
                self.calls.load(Ordering::Relaxed),
                tokio::time::Instant::now() + LONGEST_CHANGE,
            );
            let mut round = tokio::time::interval(PACE);
            while self.calls.load(Ordering::Relaxed) < calls + 60 {
                ensure!(tokio::time::Instant::now() < deadline, "no calls after {step}");
                round.tick().await;
            }
        }
        Ok(())
    }
}

pub async fn a_services_key_is_rotated_under_load_by_the_command(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let world = World::start(&Plan::default().with("lead", 2)).await?;
    let mut members = Vec::new();
    for _ in 0..CALLERS {
        let member = world.member("enterprise").await?;
        world.limit_requests(member.id, 1_000_000, "open").await?;
        members.push(member);
    }
    let old = std::fs::read_to_string(world.stack.secrets.folder.join("lead.key"))?;
    let load = Arc::new(Load {
        world,
        calls: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let mut callers = tokio::task::JoinSet::new();
    for member in members.clone() {
        callers.spawn(load.clone().create(member));
    }
    let rotated = tokio::select! {
        rotated = load.rotate("lead") => rotated,
        Some(ended) = callers.join_next() => ended?.and(Err(anyhow::anyhow!("a caller ended early"))),
    };
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    rotated?;
    let load = Arc::try_unwrap(load).ok().context("a caller still runs")?;
    println!("{} calls over a rotation, none failed", load.calls.into_inner());
    // Some calls among servers may fail unseen by those who called first; none did.
    for server in load.world.stack.servers() {
        let text = scrape(&server.metrics_address()).await?;
        let refused: f64 = values(&text, "onekeel_token_refusals_total", &[]).iter().sum();
        ensure!(refused == 0.0, "{} refused {refused} tokens", server.service());
    }
    // What the old key signs counts no more.
    let folder = &load.world.stack.secrets.folder;
    std::fs::write(folder.join("old.key"), old)?;
    std::fs::rename(folder.join("old.key"), folder.join("lead.key"))?;
    let request = acting_for(&load.world, "lead", &members[0], GetTenantContextRequest::default())?;
    let mut tenant = TenantServiceClient::new(load.world.stack.channel("tenant", 0)?);
    let fault = fault_of(tenant.get_tenant_context(request).await)?;
    ensure!(fault.reason() == ErrorReason::Unauthenticated, "{fault}");
    load.world.stop().await
}
