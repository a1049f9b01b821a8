//! Keys of a tenant's programs, from their creation to their end.
pub mod ends;
pub mod outside;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::quota::GetQuotaRequest;
use onekeel_api::tenant::api_key_service_client::ApiKeyServiceClient;
use onekeel_api::tenant::audit_service_client::AuditServiceClient;
use onekeel_api::tenant::{
    ApiKey, CallerKind, CreateApiKeyRequest, CreateApiKeyResponse, ExchangeApiKeyRequest, ExchangeApiKeyResponse,
    ListApiKeysRequest, ListAuditEventsRequest, RevokeApiKeyRequest, RotateApiKeyRequest, RotateApiKeyResponse,
};
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, is, lead_named};
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

const LONGEST: Duration = Duration::from_secs(20);

fn keys(world: &World) -> anyhow::Result<ApiKeyServiceClient<Channel>> {
    Ok(ApiKeyServiceClient::new(world.stack.channel("tenant", 0)?))
}

fn wish(name: &str, role: &str, scopes: &[&str]) -> CreateApiKeyRequest {
    CreateApiKeyRequest {
        name: name.to_owned(),
        role: role.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        expire_time: None,
    }
}

async fn create(
    world: &World,
    member: &Member,
    wish: CreateApiKeyRequest,
) -> anyhow::Result<Result<CreateApiKeyResponse, Status>> {
    let made = keys(world)?.create_api_key(member.request(wish)).await;
    Ok(made.map(tonic::Response::into_inner))
}

async fn rotate(
    world: &World,
    member: &Member,
    id: &str,
    overlap: Option<i64>,
) -> anyhow::Result<Result<RotateApiKeyResponse, Status>> {
    let wish = RotateApiKeyRequest {
        id: id.to_owned(),
        overlap: overlap.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
    };
    let rotated = keys(world)?.rotate_api_key(member.request(wish)).await;
    Ok(rotated.map(tonic::Response::into_inner))
}

async fn revoke(world: &World, member: &Member, id: &str) -> anyhow::Result<Result<ApiKey, Status>> {
    let wish = RevokeApiKeyRequest { id: id.to_owned() };
    let revoked = keys(world)?.revoke_api_key(member.request(wish)).await;
    Ok(revoked.map(tonic::Response::into_inner))
}

async fn list(world: &World, member: &Member) -> anyhow::Result<Vec<ApiKey>> {
    let request = member.request(ListApiKeysRequest {});
    Ok(keys(world)?.list_api_keys(request).await?.into_inner().keys)
}

async fn exchange(world: &World, secret: &str) -> anyhow::Result<Result<ExchangeApiKeyResponse, Status>> {
    let mut request = Request::new(ExchangeApiKeyRequest {
        api_key: secret.to_owned(),
    });
    request.set_timeout(LONGEST);
    let given = keys(world)?.exchange_api_key(request).await;
    Ok(given.map(tonic::Response::into_inner))
}

/// A caller with the token that a secret is good for.
async fn program(world: &World, member: &Member, secret: &str) -> anyhow::Result<Member> {
    let given = exchange(world, secret).await??;
    Member::with_token(&world.stack, member.id, given.access_token, 0)
}

/// An administrator whose token is narrowed to these permissions.
fn narrowed(world: &World, member: &Member, scope: &str) -> anyhow::Result<Member> {
    let token = world.stack.scoped_token(member.id, Role::Admin, scope)?;
    Member::with_token(&world.stack, member.id, token, 0)
}

pub async fn a_key_lives_from_its_creation_to_its_end(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    let scopes = ["leads.write", "leads.read"];
    let made = create(&world, &admin, wish("nightly import", "agent", &scopes)).await??;
    let (key, secret) = (made.key.context("a key")?, made.secret);
    ensure!(
        key.scopes == ["leads.read", "leads.write"] && key.role == "agent",
        "{key:?}"
    );
    ensure!(key.creator == "dev-admin" && key.last_used_time.is_none(), "{key:?}");
    ensure!(
        secret.starts_with(&key.hint) && secret.len() == 59,
        "a secret of another form"
    );
    let taken = create(&world, &admin, wish("nightly import", "viewer", &[])).await?;
    is(taken, ErrorReason::AlreadyExists)?;

    let given = exchange(&world, &secret).await??;
    ensure!(given.token_type == "Bearer" && given.key_id == key.id, "{given:?}");
    let ends = given.expire_time.context("an end")?.seconds;
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs())?;
    ensure!((now + 290..=now + 301).contains(&ends), "a token for {} s", ends - now);
    let program = Member::with_token(&world.stack, admin.id, given.access_token, 0)?;
    let lead = program.create(lead_named("ann")).await?;
    ensure!(admin.get(&lead.id).await? == lead, "its lead is the tenant's");
    is(program.delete(&lead.id, "").await, ErrorReason::PermissionDenied)?;
    let mut quota = program.quotas();
    let asked = quota.get_quota(program.request(GetQuotaRequest {})).await;
    is(asked, ErrorReason::PermissionDenied)?;

    let mut trail = AuditServiceClient::new(world.stack.channel("tenant", 0)?);
    let of_lead = ListAuditEventsRequest {
        filter: format!("resource_id = \"{}\"", lead.id),
        ..ListAuditEventsRequest::default()
    };
    let events = trail
        .list_audit_events(admin.request(of_lead))
        .await?
        .into_inner()
        .events;
    let [event] = &events[..] else {
        anyhow::bail!("{events:?}");
    };
    ensure!(
        event.caller_kind() == CallerKind::ApiKey && event.role == "agent",
        "{event:?}"
    );
    ensure!(event.caller == format!("api_key:{}", key.id), "{event:?}");

    its_use_is_seen_and_its_secret_is_not(&world, &admin, &secret).await?;
    let revoked = revoke(&world, &admin, &key.id).await??;
    ensure!(revoked.revoke_time.is_some(), "{revoked:?}");
    ensure!(
        revoke(&world, &admin, &key.id).await?? == revoked,
        "a repetition changes nothing"
    );
    is(exchange(&world, &secret).await?, ErrorReason::Unauthenticated)?;
    is(rotate(&world, &admin, &key.id, None).await?, ErrorReason::StateConflict)?;
    create(&world, &admin, wish("nightly import", "viewer", &[])).await??;
    Ok(())
}

async fn its_use_is_seen_and_its_secret_is_not(world: &World, admin: &Member, secret: &str) -> anyhow::Result<()> {
    let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(100)));
    loop {
        round.tick().await;
        let listed = list(world, admin).await?;
        let random = secret.get(12..52).context("a long secret")?;
        ensure!(!format!("{listed:?}").contains(random), "the list shows a secret");
        if listed[0].last_used_time.is_some() {
            break;
        }
        ensure!(began.elapsed() < LONGEST, "its use is not written down");
    }
    let kept: Vec<String> = sqlx::query_scalar(
        "select t::text from tenant.api_keys t where client_id = $1
        union all select t::text from tenant.api_key_secrets t where client_id = $1
        union all select t::text from tenant.secret_hashes t where id = $1
        union all select t::text from audit.events t where client_id = $1",
    )
    .bind(admin.id.uuid())
    .fetch_all(&world.behind)
    .await?;
    ensure!(
        kept.len() >= 4 && !kept.iter().any(|row| row.contains(&secret[..12])),
        "a secret is kept"
    );
    Ok(())
}

pub async fn a_key_grants_no_more_than_its_maker_has(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    for role in [Role::Manager, Role::Viewer] {
        let member = Member::new(&world.stack, admin.id, role, 0)?;
        let refused = create(&world, &member, wish("mine", "viewer", &[])).await?;
        is(refused, ErrorReason::PermissionDenied)?;
    }
    let few = narrowed(&world, &admin, "api_keys.write api_keys.read leads.read")?;
    let fault = is(
        create(&world, &few, wish("wide", "viewer", &[])).await?,
        ErrorReason::PermissionDenied,
    )?;
    ensure!(fault.message().contains("quota.read"), "{fault}");
    let narrow = create(&world, &few, wish("narrow", "viewer", &["leads.read"])).await??;
    let own = program(&world, &admin, &narrow.secret).await?;
    ensure!(own.count().await? == 0, "it reads");

    // Another secret for a mightier key would be a way up as well.
    let mighty = create(&world, &admin, wish("mighty", "admin", &[])).await??;
    let id = mighty.key.context("a key")?.id;
    is(rotate(&world, &few, &id, None).await?, ErrorReason::PermissionDenied)?;

    // A key that may keep keys makes what it could do itself, and no more.
    let scopes = ["api_keys.write", "leads.read"];
    let keeper = create(&world, &admin, wish("keeper", "admin", &scopes)).await??;
    let keeper = program(&world, &admin, &keeper.secret).await?;
    let refused = create(&world, &keeper, wish("wide", "admin", &["leads.read", "leads.write"])).await?;
    is(refused, ErrorReason::PermissionDenied)?;
    let made = create(&world, &keeper, wish("made", "viewer", &["leads.read"])).await??;
    ensure!(
        made.key.context("a key")?.creator.starts_with("api_key:"),
        "who made it"
    );
    is(rotate(&world, &keeper, &id, None).await?, ErrorReason::PermissionDenied)?;
    revoke(&world, &keeper, &id).await??;
    Ok(())
}

pub async fn a_bad_key_is_refused_with_every_field_named(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    let mut bad = wish("", "service", &["leads.fly"]);
    bad.expire_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let fault = is(create(&world, &admin, bad).await?, ErrorReason::InvalidArgument)?;
    let fields: Vec<&str> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    ensure!(fields == ["name", "role", "scopes[0]", "expire_time"], "{fields:?}");
    let made = create(&world, &admin, wish("good", "viewer", &[])).await??;
    let id = made.key.context("a key")?.id;
    for (id, overlap, field) in [(&*id, 604_801, "overlap"), (&*id, -1, "overlap"), ("7", 0, "id")] {
        let fault = is(
            rotate(&world, &admin, id, Some(overlap)).await?,
            ErrorReason::InvalidArgument,
        )?;
        ensure!(fault.violations()[0].0 == field, "{fault:?}");
    }
    let absent = Uuid::now_v7().to_string();
    is(rotate(&world, &admin, &absent, None).await?, ErrorReason::NotFound)?;
    is(revoke(&world, &admin, &absent).await?, ErrorReason::NotFound)?;
    let fault = is(exchange(&world, "").await?, ErrorReason::InvalidArgument)?;
    ensure!(fault.violations()[0].0 == "api_key", "{fault:?}");
    Ok(())
}

pub async fn a_tenant_has_a_bounded_number_of_keys(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("enterprise").await?;
    for number in 0..100 {
        let made = create(&world, &admin, wish(&format!("key {number}"), "viewer", &[])).await??;
        if number % 2 == 0 {
            revoke(&world, &admin, &made.key.context("a key")?.id).await??;
        }
    }
    let fault = is(
        create(&world, &admin, wish("more", "viewer", &[])).await?,
        ErrorReason::StateConflict,
    )?;
    ensure!(fault.message().contains("100 API keys"), "{fault}");
    ensure!(list(&world, &admin).await?.len() == 100, "all are shown");
    Ok(())
}
