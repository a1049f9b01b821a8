//! How keys, their secrets and their tokens end.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::campaign::ListCampaignsRequest;
use onekeel_api::campaign::campaign_service_client::CampaignServiceClient;
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{GetQuotaRequest, WatchQuotaRequest};
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_api::tenant::{ExchangeApiKeyRequest, GetTenantRequest, SetReadOnlyRequest, SuspendTenantRequest};
use onekeel_api::{ErrorReason, Fault};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::Plan;
use onekeel_tests::{Member, World, is, same_refusal, scrape, summarise, values};
use tonic::Request;

use super::{create, exchange, keys, list, program, revoke, rotate, wish};

/// What is promised.
const SOON: Duration = Duration::from_secs(2);
/// When a test gives up.
const LONGEST: Duration = Duration::from_secs(10);
/// Wrong secrets that may come from an address in a minute.
const MOST_WRONG: usize = 100;
const UNKNOWN: &str = "okl_000000000000000000000000000000000000000000000000_000000";

pub async fn every_worthless_secret_gets_one_and_the_same_answer(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    let make = async |name: &str| anyhow::Ok(create(&world, &admin, wish(name, "viewer", &[])).await??);
    let (expired, rotated, revoked) = (make("expired").await?, make("rotated").await?, make("revoked").await?);
    let id = |made: &onekeel_api::tenant::CreateApiKeyResponse| made.key.clone().map(|key| key.id).unwrap_or_default();
    for made in [&expired, &rotated, &revoked] {
        exchange(&world, &made.secret).await??;
    }
    sqlx::query("update tenant.api_keys set expires_at = now() where client_id = $1 and name = 'expired'")
        .bind(admin.id.uuid())
        .execute(&world.behind)
        .await?;
    rotate(&world, &admin, &id(&rotated), Some(0)).await??;
    revoke(&world, &admin, &id(&revoked)).await??;
    is(
        rotate(&world, &admin, &id(&expired), None).await?,
        ErrorReason::StateConflict,
    )?;

    let mut typo = rotated.secret.clone();
    typo.replace_range(20..21, if typo.get(20..21) == Some("x") { "y" } else { "x" });
    // The form of a secret that nobody has, with a check that is right.
    let unknown = format!("okl_{}", "A".repeat(48));
    let unknown = format!("{unknown}_{}", check(&unknown));
    let first = exchange(&world, UNKNOWN).await?.err().context("it is nobody's")?;
    is(Err::<(), _>(first.clone()), ErrorReason::Unauthenticated)?;
    let long = "x".repeat(100_000);
    for (name, secret) in [
        ("expired", &*expired.secret),
        ("rotated away", &*rotated.secret),
        ("revoked", &*revoked.secret),
        ("a typo", &*typo),
        ("unknown", &*unknown),
        ("no secret at all", "password"),
        ("a long text", &*long),
    ] {
        let refused = exchange(&world, secret).await?.err().with_context(|| name.to_owned())?;
        same_refusal(&refused, &first).with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// The check of a secret, as docs/api-keys.md describes it.
fn check(text: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut sum = u32::MAX;
    for byte in text.bytes() {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    let mut left = !sum;
    let mut digits = Vec::new();
    for _ in 0..6 {
        digits.push(char::from(DIGITS[(left % 62) as usize]));
        left /= 62;
    }
    digits.iter().rev().collect()
}

pub async fn a_rotated_key_has_its_old_secret_for_the_overlap(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    let made = create(&world, &admin, wish("rotated", "viewer", &[])).await??;
    let id = made.key.context("a key")?.id;
    let old = program(&world, &admin, &made.secret).await?;
    let second = rotate(&world, &admin, &id, None).await??;
    let key = second.key.context("a key")?;
    ensure!(
        key.overlap_end_time.is_some() && second.secret.starts_with(&key.hint),
        "{key:?}"
    );
    for secret in [&made.secret, &second.secret] {
        exchange(&world, secret).await??;
    }
    // A rotation whose answer was lost is repeated: the first secret is still in use.
    let third = rotate(&world, &admin, &id, Some(60)).await??;
    for secret in [&made.secret, &second.secret, &third.secret] {
        exchange(&world, secret).await??;
    }
    let fault = is(rotate(&world, &admin, &id, Some(60)).await?, ErrorReason::StateConflict)?;
    ensure!(fault.message().contains("3 secrets"), "{fault}");
    old.count().await?;

    let last = rotate(&world, &admin, &id, Some(0)).await??;
    for secret in [&made.secret, &second.secret, &third.secret] {
        is(exchange(&world, secret).await?, ErrorReason::Unauthenticated)?;
    }
    let new = program(&world, &admin, &last.secret).await?;
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(10)));
    while old.count().await.is_ok() {
        ensure!(
            began.elapsed() < SOON,
            "a token of an old secret is good after {:?}",
            began.elapsed()
        );
        round.tick().await;
    }
    is(old.count().await, ErrorReason::Unauthenticated)?;
    new.count().await?;
    an_overlap_ends_by_itself(&world, &admin, &id, &last.secret).await
}

/// Nobody tells the servers of that moment; they know it since the rotation.
async fn an_overlap_ends_by_itself(world: &World, admin: &Member, id: &str, secret: &str) -> anyhow::Result<()> {
    const OVERLAP: Duration = Duration::from_secs(3);
    let program = program(world, admin, secret).await?;
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(10)));
    rotate(world, admin, id, Some(3)).await??;
    while program.count().await.is_ok() {
        ensure!(
            began.elapsed() < OVERLAP + SOON,
            "it goes on after {:?}",
            began.elapsed()
        );
        round.tick().await;
    }
    is(program.count().await, ErrorReason::Unauthenticated)?;
    ensure!(began.elapsed() >= OVERLAP, "it ended after {:?}", began.elapsed());
    is(exchange(world, secret).await?, ErrorReason::Unauthenticated)?;
    Ok(())
}

pub async fn a_key_of_a_suspended_tenant_is_not_exchanged(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    let secret = create(&world, &admin, wish("key", "viewer", &[])).await??.secret;
    let id = admin.id.to_string();
    let read_only = world.as_platform(SetReadOnlyRequest { id: id.clone() })?;
    world.tenants()?.set_read_only(read_only).await?;
    exchange(&world, &secret).await?.context("a read-only tenant reads")?;
    let suspend = world.as_platform(SuspendTenantRequest { id })?;
    world.tenants()?.suspend_tenant(suspend).await?;
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(10)));
    loop {
        match exchange(&world, &secret).await? {
            Ok(_) => ensure!(began.elapsed() < SOON, "exchanged after {:?}", began.elapsed()),
            refused => {
                is(refused, ErrorReason::TenantSuspended)?;
                return Ok(());
            }
        }
        round.tick().await;
    }
}

/// A call of a program to a process of a service; the reason of its refusal.
async fn refusal(
    world: &World,
    program: &Member,
    service: &str,
    replica: usize,
) -> anyhow::Result<Option<ErrorReason>> {
    let channel = world.stack.channel(service, replica)?;
    let answer = match service {
        "lead" => LeadServiceClient::new(channel)
            .count_leads(program.request(CountLeadsRequest {}))
            .await
            .map(drop),
        "campaign" => CampaignServiceClient::new(channel)
            .list_campaigns(program.request(ListCampaignsRequest::default()))
            .await
            .map(drop),
        "quota" => QuotaServiceClient::new(channel)
            .get_quota(program.request(GetQuotaRequest {}))
            .await
            .map(drop),
        _ => TenantServiceClient::new(channel)
            .get_tenant(program.request(GetTenantRequest::default()))
            .await
            .map(drop),
    };
    Ok(answer.err().map(|status| Fault::from_status(&status).reason()))
}

/// How long it took since `began` until every replica of every service gave this answer.
async fn everywhere(
    world: &World,
    program: &Member,
    began: Instant,
    expected: Option<ErrorReason>,
) -> anyhow::Result<Duration> {
    let mut round = tokio::time::interval(Duration::from_millis(10));
    for service in SERVICES {
        for replica in 0..2 {
            while refusal(world, program, service, replica).await? != expected {
                ensure!(began.elapsed() < LONGEST, "{service} {replica} does not follow");
                round.tick().await;
            }
        }
    }
    Ok(began.elapsed())
}

pub async fn what_is_revoked_is_refused_in_every_server_within_two_seconds(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let two = SERVICES
        .into_iter()
        .fold(Plan::default(), |plan, service| plan.with(service, 2));
    let mut world = World::start(&two.with_env("TRUSTED_PROXIES", "127.0.0.0/8")).await?;
    let admin = world.member("enterprise").await?;
    let make = async |name: &str| anyhow::Ok(create(&world, &admin, wish(name, "viewer", &[])).await??);
    let (made, other) = (make("revoked").await?, make("rotated").await?);
    let (revoked, rotated) = (
        program(&world, &admin, &made.secret).await?,
        program(&world, &admin, &other.secret).await?,
    );
    for program in [&revoked, &rotated] {
        everywhere(&world, program, Instant::now(), None).await?;
    }
    let mut quota = QuotaServiceClient::new(world.stack.channel("quota", 1)?);
    let watch = quota.watch_quota(revoked.request(WatchQuotaRequest {})).await;
    let mut stream = watch?.into_inner();
    stream.message().await?.context("how things stand")?;

    let began = Instant::now();
    revoke(&world, &admin, &made.key.context("a key")?.id).await??;
    let refused = everywhere(&world, &revoked, began, Some(ErrorReason::Unauthenticated));
    let ended = async {
        let end = tokio::time::timeout(LONGEST, stream.message()).await;
        is(end.context("the watch goes on")?, ErrorReason::Unauthenticated)?;
        anyhow::Ok(began.elapsed())
    };
    let (refused, ended) = tokio::try_join!(refused, ended)?;
    everywhere(&world, &rotated, began, None).await.context("another key")?;
    everywhere(&world, &admin, began, None).await.context("a user")?;

    let began = Instant::now();
    let new = rotate(&world, &admin, &other.key.context("a key")?.id, Some(0)).await??;
    let gone = everywhere(&world, &rotated, began, Some(ErrorReason::Unauthenticated)).await?;
    let new = program(&world, &admin, &new.secret).await?;
    everywhere(&world, &new, Instant::now(), None)
        .await
        .context("the new secret")?;
    ensure!(
        refused <= SOON && ended <= SOON && gone <= SOON,
        "revoked after {refused:?}, a stream ended after {ended:?}, rotated away after {gone:?}"
    );
    summarise(&format!(
        "a revoked API key refused in 8 processes after {} ms, its open stream ended after {} ms, a secret that was rotated \
         away after {} ms",
        refused.as_millis(),
        ended.as_millis(),
        gone.as_millis()
    ))?;
    a_flood_is_bounded_by_its_address(&world, &admin).await?;
    a_use_waits_for_a_database_that_refuses(&world, &admin).await?;
    what_ended_is_deleted_after_a_day(&mut world, &admin).await?;
    world.stop().await
}

async fn a_use_waits_for_a_database_that_refuses(world: &World, admin: &Member) -> anyhow::Result<()> {
    let made = create(world, admin, wish("used", "viewer", &[])).await??;
    let id = made.key.context("a key")?.id;
    let used = async || -> anyhow::Result<bool> {
        let listed = list(world, admin).await?;
        let key = listed.iter().find(|key| key.id == id).context("the key")?;
        Ok(key.last_used_time.is_some())
    };
    let tenant = world.stack.servers().find(|server| server.service() == "tenant");
    let address = tenant.context("a tenant server")?.metrics_address();
    let failures = async || -> anyhow::Result<f64> {
        let text = scrape(&address).await?;
        let labels = ["task=\"tenant.note_api_key_uses\"", "outcome=\"failed\""];
        Ok(values(&text, "onekeel_background_rounds_total", &labels).iter().sum())
    };
    sqlx::query("revoke update on tenant.api_keys from onekeel_tenant")
        .execute(&world.behind)
        .await?;
    exchange(world, &made.secret).await??;
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(50)));
    while failures().await? < 0.5 {
        ensure!(began.elapsed() < LONGEST, "nothing failed");
        round.tick().await;
    }
    ensure!(!used().await?, "it was written");
    sqlx::query("grant update on tenant.api_keys to onekeel_tenant")
        .execute(&world.behind)
        .await?;
    while !used().await? {
        ensure!(began.elapsed() < 2 * LONGEST, "a use that could not be written is lost");
        round.tick().await;
    }
    Ok(())
}

async fn what_ended_is_deleted_after_a_day(world: &mut World, admin: &Member) -> anyhow::Result<()> {
    let before = list(world, admin).await?.len();
    for name in ["old", "new", "older"] {
        create(world, admin, wish(name, "viewer", &[])).await??;
    }
    sqlx::query(
        "update tenant.api_keys set
            revoked_at = case name when 'old' then now() - interval '25 hours' when 'new' then now() - interval '23 hours' end,
            expires_at = case name when 'older' then now() - interval '25 hours' end
        where client_id = $1 and name in ('old', 'new', 'older')",
    )
    .bind(admin.id.uuid())
    .execute(&world.behind)
    .await?;
    let hashes = "select count(*) from tenant.secret_hashes where id = $1";
    let known: i64 = sqlx::query_scalar(hashes)
        .bind(admin.id.uuid())
        .fetch_one(&world.behind)
        .await?;
    // The first round begins with the server.
    world.stack.server("tenant", 0)?.kill_and_restart().await?;
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(50)));
    while list(world, admin).await?.len() != before + 1 {
        ensure!(began.elapsed() < LONGEST, "what ended a day ago is still there");
        round.tick().await;
    }
    ensure!(
        list(world, admin).await?.iter().any(|key| key.name == "new"),
        "it has an hour left"
    );
    let left: i64 = sqlx::query_scalar(hashes)
        .bind(admin.id.uuid())
        .fetch_one(&world.behind)
        .await?;
    ensure!(left == known - 2, "{left} hashes are left of {known}");
    Ok(())
}

/// Wrong secrets from one address keep that address out for the rest of the minute, and nobody else.
async fn a_flood_is_bounded_by_its_address(world: &World, admin: &Member) -> anyhow::Result<()> {
    let good = create(world, admin, wish("good", "viewer", &[])).await??.secret;
    let from = async |secret: &str, address: &str| -> anyhow::Result<_> {
        let mut request = Request::new(ExchangeApiKeyRequest {
            api_key: secret.to_owned(),
        });
        request.set_timeout(LONGEST);
        request.metadata_mut().insert("x-forwarded-for", address.parse()?);
        Ok(keys(world)?.exchange_api_key(request).await)
    };
    // The minute may turn on the way, so one more of them may be needed.
    let mut wrong = 0;
    let refused = loop {
        let refused = from(UNKNOWN, "203.0.113.7").await?.err().context("a wrong secret")?;
        if Fault::from_status(&refused).reason() != ErrorReason::Unauthenticated {
            break refused;
        }
        wrong += 1;
        ensure!(wrong <= 2 * MOST_WRONG, "{wrong} wrong secrets and no end");
    };
    ensure!(wrong >= MOST_WRONG, "refused after {wrong}");
    let fault = is(Err::<(), _>(refused), ErrorReason::RateLimited)?;
    let retry = fault.retry_delay().context("when to try again")?;
    ensure!(retry <= Duration::from_secs(60), "{retry:?}");
    from(&good, "203.0.113.8").await?.context("another address")?;
    Ok(())
}
