//! Hosts by which a tenant is reached, and domains that it brings along.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::tenant::domain_service_client::DomainServiceClient;
use onekeel_api::tenant::{
    AddDomainRequest, DeleteTenantRequest, Domain, ListDomainsRequest, RemoveDomainRequest, ResolveTenantRequest,
    UndeleteTenantRequest, VerifyDomainRequest,
};
use onekeel_api::{ErrorReason, Fault};
use onekeel_operator::stack::Plan;
use onekeel_tenancy::{REASON_HEADER, Role, TENANT_HEADER};
use onekeel_tests::{Member, Ran, World, is, run, summarise};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::commands::onekeel;

const SOON: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(10);

fn domains(world: &World) -> anyhow::Result<DomainServiceClient<Channel>> {
    Ok(DomainServiceClient::new(world.stack.channel("tenant", 0)?))
}

async fn add(world: &World, member: &Member, name: &str) -> anyhow::Result<Result<Domain, Status>> {
    let name = name.to_owned();
    let added = domains(world)?
        .add_domain(member.request(AddDomainRequest { name }))
        .await;
    Ok(added.map(tonic::Response::into_inner))
}

async fn verify(world: &World, member: &Member, id: &str) -> anyhow::Result<Result<Domain, Status>> {
    let id = id.to_owned();
    let verified = domains(world)?
        .verify_domain(member.request(VerifyDomainRequest { id }))
        .await;
    Ok(verified.map(tonic::Response::into_inner))
}

async fn remove(world: &World, member: &Member, id: &str) -> anyhow::Result<Result<(), Status>> {
    let id = id.to_owned();
    let removed = domains(world)?
        .remove_domain(member.request(RemoveDomainRequest { id }))
        .await;
    Ok(removed.map(drop))
}

/// A domain that is proved to be the member's.
async fn proved(world: &World, member: &Member, name: &str) -> anyhow::Result<Domain> {
    let domain = add(world, member, name).await??;
    world.dns.put(&domain.txt_name, &["v=spf1 -all", &domain.txt_value]);
    Ok(verify(world, member, &domain.id).await??)
}

/// A name that no other test uses.
fn fresh(label: &str) -> String {
    format!("{label}-{}.example.net", Uuid::now_v7().simple())
}

/// The reason why a call to a host is refused; the host stands in `:authority`, as a client without a proxy sends it.
async fn at_host(
    world: &World,
    request: Request<CountLeadsRequest>,
    replica: usize,
    host: &str,
) -> anyhow::Result<Option<ErrorReason>> {
    let address = format!("http://{}", world.stack.address("lead", replica)?);
    let channel = Endpoint::from_shared(address)?
        .origin(format!("http://{host}").parse()?)
        .connect()
        .await?;
    let answer = LeadServiceClient::new(channel).count_leads(request).await;
    Ok(answer.err().map(|status| Fault::from_status(&status).reason()))
}

pub async fn a_domain_counts_when_dns_proves_it_and_only_for_one_tenant(world: Arc<World>) -> anyhow::Result<()> {
    let (ann, bob) = (world.member("basic").await?, world.member("basic").await?);
    let name = fresh("app");
    let added = add(&world, &ann, &name.to_uppercase()).await??;
    ensure!(
        added.name == name && added.txt_name == format!("_onekeel.{name}"),
        "{added:?}"
    );
    ensure!(added.verify_time.is_none(), "{added:?}");
    is(add(&world, &ann, &name).await?, ErrorReason::AlreadyExists)?;
    let fault = is(verify(&world, &ann, &added.id).await?, ErrorReason::StateConflict)?;
    ensure!(fault.message().contains(&added.txt_value), "{fault}");
    for (texts, reason) in [
        (&["onekeel-verification=0000"][..], ErrorReason::StateConflict),
        (&[&added.txt_value[..40]], ErrorReason::StateConflict),
        (&["fails"], ErrorReason::Unavailable),
        (&["silent"], ErrorReason::Unavailable),
    ] {
        world.dns.put(&added.txt_name, texts);
        is(verify(&world, &ann, &added.id).await?, reason).with_context(|| format!("{texts:?}"))?;
    }

    // Who only notes a domain keeps it from nobody, and another token proves nothing.
    let others = add(&world, &bob, &name).await??;
    ensure!(others.txt_value != added.txt_value, "tokens are a tenant's own");
    world.dns.put(&added.txt_name, &["v=spf1 -all", &added.txt_value]);
    is(verify(&world, &bob, &others.id).await?, ErrorReason::StateConflict)?;
    is(verify(&world, &bob, &added.id).await?, ErrorReason::NotFound)?;
    let verified = verify(&world, &ann, &added.id).await??;
    ensure!(verified.verify_time.is_some(), "{verified:?}");
    ensure!(
        verify(&world, &ann, &added.id).await?? == verified,
        "a repetition changes nothing"
    );
    let resolve = world.as_platform(ResolveTenantRequest {
        host: format!("{name}:443"),
    })?;
    let found = world.tenants()?.resolve_tenant(resolve).await?.into_inner();
    ensure!(found.id == ann.id.to_string(), "{found:?}");

    // The same DNS for both: the first one has it, until it lets go.
    world.dns.put(&added.txt_name, &[&added.txt_value, &others.txt_value]);
    is(verify(&world, &bob, &others.id).await?, ErrorReason::AlreadyExists)?;
    is(remove(&world, &bob, &added.id).await?, ErrorReason::NotFound)?;
    remove(&world, &ann, &added.id).await??;
    is(remove(&world, &ann, &added.id).await?, ErrorReason::NotFound)?;
    ensure!(
        verify(&world, &bob, &others.id).await??.verify_time.is_some(),
        "the name is free"
    );
    Ok(())
}

pub async fn a_deleted_tenant_lets_go_of_its_domains(world: Arc<World>) -> anyhow::Result<()> {
    let (ann, bob) = (world.member("basic").await?, world.member("basic").await?);
    let (kept, lost) = (fresh("kept"), fresh("lost"));
    for name in [&kept, &lost] {
        proved(&world, &ann, name).await?;
    }
    let (id, etag) = (ann.id.to_string(), String::new());
    let delete = world.as_platform(DeleteTenantRequest { id, etag })?;
    world.tenants()?.delete_tenant(delete).await?;
    proved(&world, &bob, &lost).await?;
    let id = ann.id.to_string();
    let undelete = world.as_platform(UndeleteTenantRequest { id })?;
    world.tenants()?.undelete_tenant(undelete).await?;

    let began = Instant::now();
    let listed = loop {
        match domains(&world)?.list_domains(ann.request(ListDomainsRequest {})).await {
            Ok(listed) => break listed.into_inner().domains,
            // It takes a moment until every server knows that the tenant is back.
            Err(status) => ensure!(began.elapsed() < SOON, "{status:?}"),
        }
    };
    let verified: Vec<_> = listed
        .iter()
        .map(|domain| (&domain.name, domain.verify_time.is_some()))
        .collect();
    ensure!(verified == [(&kept, true), (&lost, false)], "{verified:?}");
    for (host, owner) in [(kept, &ann), (lost, &bob)] {
        let resolve = world.as_platform(ResolveTenantRequest { host })?;
        let found = world.tenants()?.resolve_tenant(resolve).await?.into_inner();
        ensure!(found.id == owner.id.to_string(), "{found:?}");
    }
    Ok(())
}

pub async fn the_command_adds_proves_lists_and_removes(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let (name, client) = (fresh("app"), member.id.to_string());
    let address = format!("http://{}", world.stack.address("tenant", 0)?);
    let (admin, operator) = (
        world.stack.token(Some(member.id), Role::Admin)?,
        world.stack.token(None, Role::PlatformAdmin)?,
    );
    let domain = async |token: &str, arguments: &[&str]| -> anyhow::Result<Ran> {
        let mut command = onekeel(&[&["domain"], arguments].concat())?;
        run(command.env("TENANT_ADDR", &address).env("ONEKEEL_TOKEN", token)).await
    };
    let added = domain(&admin, &["add", &name, "--json"]).await?;
    let record: serde_json::Value = serde_json::from_str(&added.out).with_context(|| added.err)?;
    let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
    ensure!(text("txt_name") == format!("_onekeel.{name}"), "{record}");
    let unproved = domain(&admin, &["verify", &name]).await?;
    ensure!(
        unproved.code == Some(1) && unproved.err.contains(&text("txt_value")),
        "{}",
        unproved.err
    );
    let listed = domain(&admin, &["list"]).await?.out;
    ensure!(listed.contains(&name) && listed.contains("not yet"), "{listed}");
    world.dns.put(&text("txt_name"), &[&text("txt_value")]);
    let verified = domain(&admin, &["verify", &name.to_uppercase()]).await?;
    ensure!(verified.out.contains("verified 20"), "{}{}", verified.out, verified.err);

    let wrong = domain(&admin, &["remove", "none.example.net"]).await?;
    ensure!(wrong.code == Some(2), "{}", wrong.err);
    let short = domain(&operator, &["list", "--tenant", &client, "--reason", "short"]).await?;
    ensure!(
        short.code == Some(2) && short.err.contains("--reason: "),
        "{}",
        short.err
    );
    let support = [
        "remove",
        &name,
        "--tenant",
        &client,
        "--reason",
        "it was sold to another customer",
    ];
    let removed = domain(&operator, &support).await?;
    ensure!(removed.code == Some(0), "{}", removed.err);
    ensure!(domain(&admin, &["list"]).await?.out.is_empty(), "it is gone");
    Ok(())
}

pub async fn a_tenant_has_a_bounded_number_of_domains(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    for bad in ["acme", "acme.example.com", "192.0.2.1", ""] {
        let fault = is(add(&world, &member, bad).await?, ErrorReason::InvalidArgument)?;
        ensure!(fault.violations()[0].0 == "name", "{bad}: {fault:?}");
    }
    let zone = Uuid::now_v7().simple();
    for number in 0..20 {
        add(&world, &member, &format!("a{number:02}.{zone}.example.net")).await??;
    }
    let fault = is(add(&world, &member, &fresh("more")).await?, ErrorReason::StateConflict)?;
    ensure!(fault.message().contains("20 domains"), "{fault}");
    let request = member.request(ListDomainsRequest {});
    let listed = domains(&world)?.list_domains(request).await?.into_inner().domains;
    let names: Vec<&str> = listed.iter().map(|domain| &*domain.name).collect();
    ensure!(names.len() == 20 && names.is_sorted(), "{names:?}");
    let viewer = Member::new(&world.stack, member.id, Role::Viewer, 0)?;
    let refused = domains(&world)?
        .list_domains(viewer.request(ListDomainsRequest {}))
        .await;
    is(refused, ErrorReason::PermissionDenied)?;
    Ok(())
}

pub async fn a_host_of_another_tenant_is_refused_in_every_replica(suite: Arc<World>) -> anyhow::Result<()> {
    drop(suite);
    let plan = Plan::default().with("lead", 2).with("tenant", 2);
    let plan = plan
        .with_env("BASE_DOMAIN", "example.com")
        .with_env("SERVICE_HOSTS", "api.example.com,svc");
    let world = World::start(&plan).await?;
    let (ann, bob) = (world.member("enterprise").await?, world.member("enterprise").await?);
    let slug = async |member: &Member| anyhow::Ok(format!("{}.example.com", member.tenant("").await?.slug));
    let (ann_host, bob_host, custom) = (slug(&ann).await?, slug(&bob).await?, fresh("app"));
    let count = |member: &Member| member.request(CountLeadsRequest {});
    for replica in 0..2 {
        for (host, refused) in [
            (&*ann_host, false),
            (&*format!("{}:443", ann_host.to_uppercase()), false),
            (&*bob_host, true),
            ("nobody.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            ("api.example.com", false),
            ("onekeel-lead", false),
            ("onekeel-lead.prod.svc", false),
            ("127.0.0.1:50051", false),
            (&*custom, false),
        ] {
            let reason = at_host(&world, count(&ann), replica, host).await?;
            ensure!(
                reason == refused.then_some(ErrorReason::TenantMismatch),
                "{host}: {reason:?}"
            );
        }
    }
    // Support goes where its headers say, and to no other tenant's host.
    for (host, expected) in [(&ann_host, None), (&bob_host, Some(ErrorReason::TenantMismatch))] {
        let mut request = world.as_platform(CountLeadsRequest {})?;
        for (name, value) in [
            (TENANT_HEADER, &*ann.id.to_string()),
            (REASON_HEADER, "a look at its hosts"),
        ] {
            request.metadata_mut().insert(name, value.parse()?);
        }
        let reason = at_host(&world, request, 0, host).await?;
        ensure!(reason == expected, "support at {host}: {reason:?}");
    }

    let everywhere = async |member: &Member, expected: Option<ErrorReason>| {
        let (began, mut round) = (Instant::now(), tokio::time::interval(Duration::from_millis(10)));
        for replica in 0..2 {
            while at_host(&world, count(member), replica, &custom).await? != expected {
                ensure!(began.elapsed() < LONGEST, "replica {replica} does not follow");
                round.tick().await;
            }
        }
        anyhow::Ok(began.elapsed())
    };
    let domain = proved(&world, &ann, &custom).await?;
    let closed = everywhere(&bob, Some(ErrorReason::TenantMismatch)).await?;
    everywhere(&ann, None).await?;
    remove(&world, &ann, &domain.id).await??;
    let removed = Instant::now();
    let opened = everywhere(&bob, None).await?;
    ensure!(
        closed <= SOON && opened <= SOON,
        "in force after {closed:?}, gone after {opened:?}"
    );
    summarise(&format!(
        "a verified domain in force in 2 processes after {} ms, gone after {} ms",
        closed.as_millis(),
        opened.as_millis()
    ))?;
    // Within the promised time, each server hears that Ann's tenant has changed, and asks for it once more.
    let mut round = tokio::time::interval(Duration::from_millis(10));
    while removed.elapsed() < SOON {
        let reason = at_host(&world, count(&ann), 0, &ann_host).await?;
        ensure!(reason.is_none(), "at her own host: {reason:?}");
        round.tick().await;
    }
    without_the_tenant_server(world, &ann, &ann_host, &bob_host).await
}

/// What is known goes on; what is not known is nobody's.
async fn without_the_tenant_server(mut world: World, ann: &Member, own: &str, others: &str) -> anyhow::Result<()> {
    for replica in 0..2 {
        world.stack.server("tenant", replica)?.process().kill().await?;
    }
    let count = || ann.request(CountLeadsRequest {});
    for (host, expected) in [
        (own, None),
        ("127.0.0.1", None),
        (others, Some(ErrorReason::TenantMismatch)),
        ("new.example.org", Some(ErrorReason::Unavailable)),
        ("new.example.com", Some(ErrorReason::Unavailable)),
    ] {
        let reason = at_host(&world, count(), 0, host).await?;
        ensure!(reason == expected, "{host} without TenantService: {reason:?}");
    }
    world.stop().await
}
