//! TLS with callers and between servers.
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::lead::CountLeadsRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_operator::stack::{Authority, endpoint, signed};
use onekeel_tenancy::Role;
use onekeel_tests::{World, is, lead_named, output, program, tool};
use serde_json::Value;
use tokio::process::Command;

use crate::extra::{Extra, request};

const QUICK: Duration = Duration::from_secs(5);

pub async fn servers_reach_one_another_by_tls(world: Arc<World>) -> anyhow::Result<()> {
    // LeadService asks TenantService for the tenant's state and both processes of QuotaService for units.
    let member = world.member("basic").await?;
    let lead = member.create(lead_named("ann")).await?;
    ensure!(member.get(&lead.id).await? == lead, "another lead came back");
    ensure!(member.quota().await?.used == 1, "the lead was not charged");
    Ok(())
}

/// What connecting or calling by `trusted` came to, and in what time.
async fn refusal(world: &World, address: &str, trusted: Option<&str>) -> anyhow::Result<String> {
    let member = world.member("basic").await?;
    let began = Instant::now();
    let said = match endpoint(address, trusted)?.connect().await {
        Err(error) => chain(&error),
        Ok(channel) => {
            let mut leads = LeadServiceClient::new(channel);
            let answer = leads.count_leads(request(world, &member, CountLeadsRequest {})?).await;
            chain(&answer.err().context("the call succeeded")?)
        }
    };
    ensure!(
        began.elapsed() < QUICK,
        "refused after {:?} only: {said}",
        began.elapsed()
    );
    Ok(said)
}

fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}

pub async fn plain_text_fails_cleanly_where_tls_is_spoken(world: Arc<World>) -> anyhow::Result<()> {
    refusal(&world, &world.stack.address("lead", 0)?, None).await?;
    Ok(())
}

pub async fn a_certificate_of_another_authority_or_host_is_refused(world: Arc<World>) -> anyhow::Result<()> {
    let stranger = Authority::generate("a stranger")?;
    let said = refusal(&world, &world.stack.address("lead", 0)?, Some(&stranger.pem)).await?;
    ensure!(said.contains("UnknownIssuer"), "{said}");

    let mut extra = Extra::start(&world, &[]).await?;
    let reloads = "onekeel_tls_reloads_total{of=\"certificate\"}";
    let elsewhere = extra.certificates.authority.issue_for(
        &["elsewhere.example"],
        "elsewhere",
        SystemTime::now() + Duration::from_secs(3600),
    )?;
    let mut files = signed(&extra.certificates.authority, &extra.trusted)?;
    files.retain(|(name, _)| !name.starts_with("lead."));
    files.push(("lead.crt".to_owned(), elsewhere.certificate));
    files.push(("lead.key".to_owned(), elsewhere.key));
    extra.certificates.publish(&files)?;
    extra.wait_for_more(reloads, 0.0).await?;
    let said = refusal(&world, &extra.server.address(), Some(&extra.trusted)).await?;
    ensure!(
        said.contains("NotValidForName") || said.contains("not valid for name"),
        "{said}"
    );
    extra.stop().await
}

pub async fn a_server_with_another_authority_reaches_nobody(world: Arc<World>) -> anyhow::Result<()> {
    let file = world.stack.folder().join("stranger.pem");
    std::fs::write(&file, Authority::generate("a stranger")?.pem)?;
    let file = file.to_str().context("the folder's name is text")?;
    let extra = Extra::start(&world, &[("TLS_CA_FILE", file)]).await?;
    let member = world.member("basic").await?;
    let answer = extra
        .leads()?
        .count_leads(request(&world, &member, CountLeadsRequest {})?)
        .await;
    is(answer, ErrorReason::Unavailable)?;
    extra.stop().await
}

pub async fn half_a_configuration_is_refused_by_name(world: Arc<World>) -> anyhow::Result<()> {
    let certificates = world
        .stack
        .certificates
        .as_ref()
        .context("the suite speaks TLS")?
        .current();
    let secrets = &world.stack.secrets.folder;
    let check = |settings: &[(&str, &str)]| {
        let mut command = Command::new(program("onekeel-lead").expect("the tests were built"));
        command
            .arg("--check")
            .env("DATABASE_URL", world.stack.database.url_for("lead").expect("a login"))
            .env("REDIS_URL", &world.backing.redis_url)
            .env("JWT_SECRET_FILE", secrets.join("jwt"))
            .env("JWT_ISSUER", "test")
            .env("SERVICE_KEY_FILE", secrets.join("lead.key"))
            .env("SERVICE_PEERS_DIR", secrets.join("peers"))
            .env("PAGE_TOKEN_SECRET_FILE", secrets.join("page-token"))
            .env("QUOTA_ADDR", "http://127.0.0.1:1")
            .env("TENANT_ADDR", "http://127.0.0.1:1")
            .envs(settings.iter().copied());
        command
    };
    let path = |name: &str| certificates.join(name).display().to_string();
    let (certificate, key, other_key, authority) =
        (path("lead.crt"), path("lead.key"), path("quota.key"), path("ca.pem"));
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("TLS_CERT_FILE", &certificate)], "TLS_KEY_FILE is not"),
        (&[("TLS_KEY_FILE", &key)], "TLS_CERT_FILE is not"),
        (
            &[("TLS_CERT_FILE", &certificate), ("TLS_KEY_FILE", &other_key)],
            "are no pair",
        ),
        (
            &[("TLS_CERT_FILE", &key), ("TLS_KEY_FILE", &key)],
            "TLS_CERT_FILE holds no certificate",
        ),
        (
            &[("TLS_CERT_FILE", "/nowhere"), ("TLS_KEY_FILE", &key)],
            "TLS_CERT_FILE: cannot read /nowhere",
        ),
        (&[("QUOTA_ADDR", "https://localhost:1")], "set TLS_CA_FILE"),
        (
            &[("QUOTA_ADDR", "localhost:1"), ("TLS_CA_FILE", &authority)],
            "QUOTA_ADDR: localhost:1 is no address",
        ),
    ];
    for (settings, expected) in cases {
        let (good, said) = output(&mut check(settings)).await?;
        ensure!(!good && said.contains(expected), "{settings:?}: {said}");
    }
    let whole = [
        ("TLS_CERT_FILE", certificate.as_str()),
        ("TLS_KEY_FILE", &key),
        ("TLS_CA_FILE", &authority),
        ("QUOTA_ADDR", "https://localhost:1"),
    ];
    let (good, said) = output(&mut check(&whole)).await?;
    ensure!(good && said.contains("by TLS"), "{said}");
    let (good, said) = output(&mut check(&[])).await?;
    ensure!(good && said.contains("in plain text"), "{said}");
    Ok(())
}

pub async fn the_real_grpcurl_trusts_the_authority(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let trusted = world
        .stack
        .certificates
        .as_ref()
        .context("the suite speaks TLS")?
        .trusted();
    let address = world.stack.address("lead", 0)?;
    let bearer = format!(
        "authorization: Bearer {}",
        world.stack.token(Some(member.id), Role::Admin)?
    );
    let grpcurl = |arguments: &[&str]| {
        let mut command = Command::new(tool("grpcurl").expect("the test runs with it only"));
        command.args(arguments);
        command
    };
    let lead = r#"{"lead": {"first_name": "Ann", "email": "ann@example.com"}}"#;
    let call = [
        "-H",
        &bearer,
        "-d",
        lead,
        &address,
        "onekeel.lead.v1.LeadService/CreateLead",
    ];
    let (good, said) = output(grpcurl(&["-cacert"]).arg(&trusted).args(call)).await?;
    ensure!(good, "{said}");
    let created: Value = serde_json::from_str(&said)?;
    ensure!(created["email"] == "ann@example.com", "{created}");
    let (good, said) = output(grpcurl(&[]).args(call)).await?;
    ensure!(!good && said.contains("certificate"), "without the authority: {said}");
    let (good, said) = output(grpcurl(&["-plaintext", "-max-time", "5"]).args(call)).await?;
    ensure!(!good, "in plain text: {said}");
    Ok(())
}
