//! Services that show certificates to one another.
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::tenant::GetTenantContextRequest;
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_operator::stack::{Authority, Pair};
use onekeel_tenancy::{Signer, Tenant};
use onekeel_tests::{Member, World, is, scrape, values};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::extra::request;

/// TenantService, reached with a certificate or without.
async fn reach(world: &World, service: &str, shown: Option<&Pair>) -> anyhow::Result<Channel> {
    let certificates = world.stack.certificates.as_ref().context("the suite speaks TLS")?;
    let tls = ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(Certificate::from_pem(&certificates.authority.pem));
    let tls = match shown {
        Some(pair) => tls.identity(Identity::from_pem(&pair.certificate, &pair.key)),
        None => tls,
    };
    let address = format!("https://{}", world.stack.address(service, 0)?);
    Ok(Endpoint::from_shared(address)?.tls_config(tls)?.connect().await?)
}

/// A genuine token of `service`, as whoever stole its key would have it.
#[expect(
    clippy::disallowed_methods,
    reason = "a service's signer needs a tenant, and no server is asked for one here"
)]
fn service_token(secrets: &Path, service: &str, member: &Member) -> anyhow::Result<String> {
    let key = std::fs::read_to_string(secrets.join(format!("{service}.key")))?;
    let tenant = Tenant::for_background(member.id, "test");
    Ok(Signer::from_pem(service, &key)?.token_for(&tenant)?.to_string())
}

async fn ask(world: &World, member: &Member, shown: Option<&Pair>) -> anyhow::Result<Result<(), Status>> {
    let mut tenants = TenantServiceClient::new(reach(world, "tenant", shown).await?);
    let token = service_token(&world.stack.secrets.folder, "lead", member)?;
    let mut request = Request::new(GetTenantContextRequest {});
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    Ok(tenants.get_tenant_context(request).await.map(drop))
}

pub async fn a_services_token_is_worth_nothing_without_its_certificate(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let authority = world
        .stack
        .certificates
        .as_ref()
        .context("the suite speaks TLS")?
        .authority
        .clone();
    let server = world.stack.servers().find(|server| server.service() == "tenant");
    let metrics = server.context("no tenant server")?.metrics_address();
    let refused = async || {
        let page = scrape(&metrics).await?;
        anyhow::Ok(
            values(&page, "onekeel_unshown_services_total", &[])
                .into_iter()
                .sum::<f64>(),
        )
    };
    let before = refused().await?;
    ask(&world, &member, Some(&authority.issue_to("lead")?)).await??;
    ensure!(
        refused().await? < before + 1.0,
        "a service that shows itself was refused"
    );

    let other = authority.issue_to("campaign")?;
    // The server's own certificate is for its hosts and names no service.
    let nameless = authority.issue_for(&["lead", "localhost"], "onekeel-lead", far())?;
    is(ask(&world, &member, None).await?, ErrorReason::Unauthenticated).context("without a certificate")?;
    is(ask(&world, &member, Some(&other)).await?, ErrorReason::Unauthenticated).context("another service's")?;
    ensure!(refused().await? > before + 1.0, "the refusals are not counted");
    for (what, pair) in [
        ("for servers", &nameless),
        (
            "of another authority",
            &Authority::generate("a stranger")?.issue_to("lead")?,
        ),
    ] {
        let asked = ask(&world, &member, Some(pair)).await;
        ensure!(!matches!(asked, Ok(Ok(()))), "a certificate {what} is taken");
    }
    Ok(())
}

pub async fn users_show_no_certificate(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let authority = world
        .stack
        .certificates
        .as_ref()
        .context("the suite speaks TLS")?
        .authority
        .clone();
    for shown in [None, Some(&authority.issue_to("campaign")?)] {
        let mut leads = LeadServiceClient::new(reach(&world, "lead", shown).await?);
        leads
            .count_leads(request(&world, &member, CountLeadsRequest {})?)
            .await?;
    }
    Ok(())
}

fn far() -> std::time::SystemTime {
    std::time::SystemTime::now() + std::time::Duration::from_secs(3600)
}
