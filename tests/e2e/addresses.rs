//! From where a tenant's users may call.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::campaign::ListCampaignsRequest;
use onekeel_api::campaign::campaign_service_client::CampaignServiceClient;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CountLeadsRequest, ImportLeadsRequest};
use onekeel_api::quota::quota_service_client::QuotaServiceClient;
use onekeel_api::quota::{GetQuotaRequest, WatchQuotaRequest, WatchQuotaResponse};
use onekeel_api::tenant::address_service_client::AddressServiceClient;
use onekeel_api::tenant::{
    GetIpAllowlistRequest, GetTenantRequest, IpAllowlist, SetIpAllowlistRequest, SuspendTenantRequest,
};
use onekeel_api::{ErrorReason, Fault};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::Plan;
use onekeel_tenancy::{REASON_HEADER, Role, TENANT_HEADER};
use onekeel_tests::{Member, World, is, lead_named, summarise};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// What is promised.
const SOON: Duration = Duration::from_secs(2);
/// When a test gives up.
const LONGEST: Duration = Duration::from_secs(10);

fn addresses(world: &World) -> anyhow::Result<AddressServiceClient<Channel>> {
    Ok(AddressServiceClient::new(world.stack.channel("tenant", 0)?))
}

fn list(client: &str, networks: &[&str], etag: &str) -> SetIpAllowlistRequest {
    let networks = networks.iter().map(|network| (*network).to_owned()).collect();
    SetIpAllowlistRequest {
        allowlist: Some(IpAllowlist {
            client_id: client.to_owned(),
            networks,
            etag: etag.to_owned(),
            ..IpAllowlist::default()
        }),
        ..SetIpAllowlistRequest::default()
    }
}

/// Sets a list as an operator, whom no list binds.
async fn set(world: &World, member: &Member, networks: &[&str]) -> anyhow::Result<IpAllowlist> {
    let wish = world.as_platform(list(&member.id.to_string(), networks, ""))?;
    Ok(addresses(world)?.set_ip_allowlist(wish).await?.into_inner())
}

pub async fn an_allowlist_is_kept_by_version_and_locks_nobody_out_by_mistake(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("basic").await?;
    let mut client = addresses(&world)?;
    let mut get = async || -> Result<IpAllowlist, Status> {
        let request = admin.request(GetIpAllowlistRequest::default());
        Ok(client.get_ip_allowlist(request).await?.into_inner())
    };
    let first = get().await?;
    ensure!((first.networks.len(), &*first.etag) == (0, "0"), "{first:?}");

    let mut client = addresses(&world)?;
    let mut set = async |wish: SetIpAllowlistRequest| client.set_ip_allowlist(admin.request(wish)).await;
    let fault = is(
        set(list("", &["203.0.113.0/24"], "")).await,
        ErrorReason::InvalidArgument,
    )?;
    let (field, mend) = &fault.violations()[0];
    ensure!(
        field == "allowlist.networks" && mend.contains("127.0.0.1"),
        "{field}: {mend}"
    );
    let fault = is(
        set(list("", &["127.0.0.0/8", "127.0.0.1/8"], "")).await,
        ErrorReason::InvalidArgument,
    )?;
    let (field, mend) = &fault.violations()[0];
    ensure!(
        field == "allowlist.networks[1]" && mend.contains("127.0.0.0/8"),
        "{field}: {mend}"
    );
    let only_checked = SetIpAllowlistRequest {
        validate_only: true,
        ..list("", &["127.0.0.1"], "0")
    };
    ensure!(
        set(only_checked).await?.into_inner().networks == ["127.0.0.1/32"],
        "checked"
    );
    ensure!(get().await? == first, "a check changes nothing");

    let kept = set(list("", &["2001:DB8::/32", "127.0.0.1"], "0")).await?.into_inner();
    ensure!(
        kept.networks == ["127.0.0.1/32", "2001:db8::/32"] && kept.etag == "1",
        "{kept:?}"
    );
    ensure!(get().await? == kept, "reading back");
    is(set(list("", &[], "0")).await, ErrorReason::EtagMismatch)?;
    let manager = Member::new(&world.stack, admin.id, Role::Manager, 0)?;
    let refused = addresses(&world)?
        .set_ip_allowlist(manager.request(list("", &[], "1")))
        .await;
    is(refused, ErrorReason::PermissionDenied)?;
    let meant = SetIpAllowlistRequest {
        allow_lockout: true,
        ..list("", &["203.0.113.0/24"], "1")
    };
    ensure!(set(meant).await?.into_inner().etag == "2", "a lockout that is meant");
    Ok(())
}

/// A call of a tenant's user to a process of a service; the reason of its refusal.
async fn refusal(
    world: &World,
    member: &Member,
    service: &str,
    replica: usize,
    from: &str,
) -> anyhow::Result<Option<ErrorReason>> {
    let channel = world.stack.channel(service, replica)?;
    let answer = match service {
        "lead" => LeadServiceClient::new(channel)
            .count_leads(from_address(member.request(CountLeadsRequest {}), from)?)
            .await
            .map(drop),
        "campaign" => CampaignServiceClient::new(channel)
            .list_campaigns(from_address(member.request(ListCampaignsRequest::default()), from)?)
            .await
            .map(drop),
        "quota" => QuotaServiceClient::new(channel)
            .get_quota(from_address(member.request(GetQuotaRequest {}), from)?)
            .await
            .map(drop),
        _ => onekeel_api::tenant::tenant_service_client::TenantServiceClient::new(channel)
            .get_tenant(from_address(member.request(GetTenantRequest::default()), from)?)
            .await
            .map(drop),
    };
    Ok(answer.err().map(|status| Fault::from_status(&status).reason()))
}

/// The request as a proxy passes it on; as it is without an address.
fn from_address<T>(mut request: Request<T>, address: &str) -> anyhow::Result<Request<T>> {
    if !address.is_empty() {
        request.metadata_mut().insert(FORWARDED_FOR, address.parse()?);
    }
    Ok(request)
}

/// How long it took since `began` until every replica of every service gave this answer.
async fn everywhere(
    world: &World,
    member: &Member,
    began: Instant,
    expected: Option<ErrorReason>,
) -> anyhow::Result<Duration> {
    let mut round = tokio::time::interval(Duration::from_millis(10));
    for service in SERVICES {
        for replica in 0..2 {
            while refusal(world, member, service, replica, "").await? != expected {
                ensure!(began.elapsed() < LONGEST, "{service} {replica} does not follow");
                round.tick().await;
            }
        }
    }
    Ok(began.elapsed())
}

async fn watch(world: &World, member: &Member, replica: usize) -> anyhow::Result<Streaming<WatchQuotaResponse>> {
    let mut quota = QuotaServiceClient::new(world.stack.channel("quota", replica)?);
    let mut stream = quota
        .watch_quota(member.request(WatchQuotaRequest {}))
        .await?
        .into_inner();
    stream.message().await?.context("how things stand")?;
    Ok(stream)
}

pub async fn a_changed_allowlist_is_in_force_in_every_replica_within_two_seconds(
    suite: Arc<World>,
) -> anyhow::Result<()> {
    drop(suite);
    let two = SERVICES
        .into_iter()
        .fold(Plan::default(), |plan, service| plan.with(service, 2));
    let world = World::start(&two.with_env("TRUSTED_PROXIES", "127.0.0.0/8")).await?;
    let member = world.member("enterprise").await?;
    let other = world.member("enterprise").await?;
    member.create(lead_named("ann")).await?;
    everywhere(&world, &member, Instant::now(), None).await?;
    let mut streams = [watch(&world, &member, 0).await?, watch(&world, &member, 1).await?];
    let mut unbound = watch(&world, &other, 0).await?;

    let began = Instant::now();
    set(&world, &member, &["203.0.113.0/24"]).await?;
    let closed = everywhere(&world, &member, began, Some(ErrorReason::AddressNotAllowed));
    let ended = async {
        for stream in &mut streams {
            let end = tokio::time::timeout(LONGEST, stream.message()).await;
            is(end.context("the watch goes on")?, ErrorReason::AddressNotAllowed)?;
        }
        anyhow::Ok(began.elapsed())
    };
    let (closed, ended) = tokio::try_join!(closed, ended)?;
    ensure!(
        closed <= SOON && ended <= SOON,
        "refused after {closed:?}, streams ended after {ended:?}"
    );
    let goes_on = tokio::time::timeout(Duration::from_millis(600), unbound.message()).await;
    ensure!(goes_on.is_err(), "another tenant's watch ended: {goes_on:?}");

    what_a_proxy_says_counts(&world, &member).await?;
    support_is_not_bound(&world, &member).await?;

    let began = Instant::now();
    set(&world, &member, &[]).await?;
    let opened = everywhere(&world, &member, began, None).await?;
    ensure!(opened <= SOON, "let in after {opened:?}");
    summarise(&format!(
        "an allowlist in force in 8 processes after {} ms, open streams ended after {} ms, gone after {} ms",
        closed.as_millis(),
        ended.as_millis(),
        opened.as_millis()
    ))?;
    world.stop().await
}

async fn what_a_proxy_says_counts(world: &World, member: &Member) -> anyhow::Result<()> {
    for (from, expected) in [
        ("203.0.113.7", None),
        ("192.0.2.1, 203.0.113.7", None),
        ("::ffff:203.0.113.7", None),
        ("203.0.113.7, 192.0.2.1", Some(ErrorReason::AddressNotAllowed)),
        ("2001:db8::7", Some(ErrorReason::AddressNotAllowed)),
        ("nonsense", Some(ErrorReason::InvalidArgument)),
    ] {
        let refused = refusal(world, member, "lead", 1, from).await?;
        ensure!(refused == expected, "{from}: {refused:?}");
    }
    let mut bad = member.request(CountLeadsRequest {});
    bad.metadata_mut().insert(FORWARDED_FOR, "203.0.113".parse()?);
    let fault = is(member.leads().count_leads(bad).await, ErrorReason::InvalidArgument)?;
    ensure!(fault.violations()[0].0 == FORWARDED_FOR, "{fault:?}");

    // The trail tells the same address that was decided by.
    let wish = from_address(member.request(list("", &["203.0.113.0/24"], "")), "203.0.113.9")?;
    addresses(world)?.set_ip_allowlist(wish).await?;
    let sources: Vec<String> = sqlx::query_scalar(
        "select source from audit.events where client_id = $1 and resource_type = 'ip_allowlist' order by created_at",
    )
    .bind(member.id.uuid())
    .fetch_all(&world.behind)
    .await?;
    ensure!(sources == ["127.0.0.1", "203.0.113.9"], "{sources:?}");
    Ok(())
}

async fn support_is_not_bound(world: &World, member: &Member) -> anyhow::Result<()> {
    let mut request = world.as_platform(CountLeadsRequest {})?;
    let client = member.id.to_string();
    for (name, value) in [
        (TENANT_HEADER, &*client),
        (REASON_HEADER, "locked out of its own tenant"),
    ] {
        request.metadata_mut().insert(name, value.parse()?);
    }
    ensure!(
        member.leads().count_leads(request).await?.into_inner().count == 1,
        "no lead"
    );
    Ok(())
}

pub async fn open_streams_end_when_their_tenant_is_suspended(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let mut watched = watch(&world, &member, 0).await?;
    // An import that is not finished: its caller sends one part, and holds the stream.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let part = ImportLeadsRequest {
        leads: vec![lead_named("ann")],
    };
    sender.send(part).await?;
    let (mut leads, request) = (member.leads(), member.request(ReceiverStream::new(receiver)));
    let import = tokio::spawn(async move { leads.import_leads(request).await });
    // Taken, so that the call is in.
    while sender.capacity() == 0 && !import.is_finished() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let id = member.id.to_string();
    let suspend = world.as_platform(SuspendTenantRequest { id })?;
    world.tenants()?.suspend_tenant(suspend).await?;
    let end = tokio::time::timeout(LONGEST, watched.message()).await;
    is(end.context("the watch goes on")?, ErrorReason::TenantSuspended)?;
    let end = tokio::time::timeout(LONGEST, import).await;
    is(end.context("the import goes on")??, ErrorReason::TenantSuspended)?;
    ensure!(began.elapsed() <= SOON, "after {:?}", began.elapsed());
    drop(sender);
    Ok(())
}

pub async fn nobody_chooses_its_own_address(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    set(&world, &member, &["203.0.113.0/24"]).await?;
    let began = Instant::now();
    while refusal(&world, &member, "lead", 0, "").await?.is_none() {
        ensure!(began.elapsed() < SOON, "not in force");
        tokio::task::yield_now().await;
    }
    for from in ["203.0.113.7", "nonsense"] {
        let refused = refusal(&world, &member, "lead", 0, from).await?;
        ensure!(refused == Some(ErrorReason::AddressNotAllowed), "{from}: {refused:?}");
    }
    Ok(())
}
