//! An installation, from secrets to the end of its pods, with every value set.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use onekeel_api::ClientId;
use onekeel_api::lead::CreateLeadRequest;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::tenant::CreateTenantRequest;
use onekeel_api::tenant::tenant_service_client::TenantServiceClient;
use onekeel_operator::SERVICES;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::{Authority, endpoint};
use onekeel_tenancy::{Role, UserToken, VerifyingKey, issue_user_token, publish};
use onekeel_tests::{World, lead_named, output, scrape};
use serde_json::Value;
use sqlx::migrate::MigrateDatabase;
use tokio::process::Command;
use tonic::Request;

use crate::chart::{Rendered, component, list, name, pod, root, variable};
use crate::cluster::Cluster;

const TOKEN_LIFE: Duration = Duration::from_secs(600);

pub async fn an_installation_migrates_serves_and_ends_in_order(_: Arc<World>) -> anyhow::Result<()> {
    // Each installation sets the passwords of the logins, so the server is nobody else's.
    let backing = Backing::start_private().await?;
    for rendered in Rendered::all().await? {
        install(&backing, &rendered)
            .await
            .with_context(|| rendered.set.clone())?;
    }
    Ok(())
}

/// Secrets as a person makes them, and what a person brings along: certificates, keys of an identity provider.
async fn secrets(backing: &Backing, folder: &Path) -> anyhow::Result<Authority> {
    let (server, _) = backing.database_url.rsplit_once('/').context("a database's name")?;
    let url = format!("{server}/onekeel_{}", uuid::Uuid::new_v4().simple());
    sqlx::Postgres::create_database(&url).await?;
    let mut command = Command::new(root().join("deploy/make-secrets"));
    command
        .arg(folder)
        .env("DATABASE_URL", &url)
        .env("REDIS_URL", &backing.redis_url);
    let (good, said) = output(&mut command).await?;
    ensure!(good, "make-secrets: {said}");
    let authority = Authority::generate("an installation")?;
    let pair = authority.issue("servers")?;
    for (path, text) in [
        ("tls/tls.crt", &pair.certificate),
        ("tls/tls.key", &pair.key),
        ("tls/ca.crt", &authority.pem),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(path, text)?;
    }
    let shown = folder.join("tls-client");
    std::fs::create_dir(&shown)?;
    std::fs::write(shown.join("ca.crt"), &authority.pem)?;
    for service in SERVICES {
        let pair = authority.issue_to(service)?;
        std::fs::write(shown.join(format!("{service}.crt")), &pair.certificate)?;
        std::fs::write(shown.join(format!("{service}.key")), &pair.key)?;
    }
    let public = folder.join("jwt-public");
    std::fs::create_dir(&public)?;
    for key in ["current.pem", "next.pem"] {
        std::fs::copy(folder.join("service-peers/lead.pub"), public.join(key))?;
    }
    let set = folder.join("jwt-keys");
    std::fs::create_dir(&set)?;
    let key = VerifyingKey::from_pem(&std::fs::read_to_string(public.join("next.pem"))?)?.with_id("next");
    std::fs::write(set.join("set.json"), publish([&key])?.to_string())?;
    Ok(authority)
}

async fn install(backing: &Backing, rendered: &Rendered) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let folder = home.path().join("secrets");
    let authority = secrets(backing, &folder).await?;
    let cluster = Cluster::new(rendered, &folder)?;
    let job = rendered.of_kind("Job").next().context("a Job")?;
    let said = cluster.finish(job).await?;
    let services = rendered.of_kind("Deployment").count();
    ensure!(said.contains(&format!("{services} passwords set")), "{said}");

    let mut pods = Vec::new();
    for deployment in rendered.of_kind("Deployment") {
        pods.push((deployment, cluster.start(deployment).await?));
    }
    for (deployment, process) in &mut pods {
        let container = &pod(deployment)["containers"][0];
        let startup = &container["startupProbe"];
        let seconds = |field: &str| startup[field].as_u64().context("a probe's numbers");
        let longest = Duration::from_secs(seconds("periodSeconds")? * seconds("failureThreshold")?);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let ready = async || cluster.probe(deployment, &container[probe]).await.unwrap_or(false);
            process.wait_until(longest, ready).await.context(probe)?;
        }
    }
    let secure = !rendered
        .objects
        .iter()
        .any(|own| pod(own)["containers"][0]["readinessProbe"]["grpc"].is_object());
    use_it(rendered, &cluster, &folder, secure.then_some(authority.pem.as_str())).await?;
    for (deployment, process) in &mut pods {
        let grace = pod(deployment)["terminationGracePeriodSeconds"]
            .as_u64()
            .context("a grace period")?;
        let pause = &pod(deployment)["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
        let left = Duration::from_secs(grace - pause.as_u64().context("a pause")?);
        let ended = process.stop(Signal::SIGTERM, left).await?;
        ensure!(
            ended,
            "{} did not end in order:\n{}",
            name(deployment),
            process.last_lines()
        );
    }
    Ok(())
}

/// A tenant and a lead, through the Services.
async fn use_it(
    rendered: &Rendered,
    cluster: &Cluster<'_>,
    folder: &Path,
    trusted: Option<&str>,
) -> anyhow::Result<()> {
    let find = |wanted: &str| rendered.of_kind("Service").find(|service| component(service) == wanted);
    let channel = |wanted: &str| -> anyhow::Result<_> {
        let service = find(wanted).with_context(|| format!("no Service of {wanted}"))?;
        let port = service["spec"]["ports"][0]["port"].as_u64().context("a port")?;
        let port = cluster.service(name(service), port)?.context("a way")?;
        Ok(endpoint(&format!("127.0.0.1:{port}"), trusted)?.connect_lazy())
    };
    let secret = std::fs::read_to_string(folder.join("jwt/jwt"))?;
    let deployment = rendered.of_kind("Deployment").next().context("a Deployment")?;
    let container = &pod(deployment)["containers"][0];
    let token = |client: Option<ClientId>, role: Role| -> anyhow::Result<String> {
        let token = UserToken {
            issuer: variable(container, "JWT_ISSUER").context("JWT_ISSUER")?,
            audience: variable(container, "JWT_AUDIENCE").context("JWT_AUDIENCE")?,
            client,
            user: "somebody",
            role,
            scope: None,
            life: TOKEN_LIFE,
        };
        let signed = issue_user_token(secret.trim().as_bytes(), &token)?;
        Ok(format!("Bearer {signed}"))
    };
    let mut wish = Request::new(CreateTenantRequest {
        display_name: "Acme".to_owned(),
        slug: "acme".to_owned(),
        plan: "basic".to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
    });
    wish.metadata_mut()
        .insert("authorization", token(None, Role::PlatformAdmin)?.parse()?);
    wish.set_timeout(Duration::from_secs(30));
    let tenant = TenantServiceClient::new(channel("tenant")?)
        .create_tenant(wish)
        .await?
        .into_inner();
    let id = ClientId::parse("id", &tenant.id)?;
    let mut wish = Request::new(CreateLeadRequest {
        lead: Some(lead_named("ann")),
        request_id: String::new(),
    });
    wish.metadata_mut()
        .insert("authorization", token(Some(id), Role::Admin)?.parse()?);
    wish.set_timeout(Duration::from_secs(30));
    let lead = LeadServiceClient::new(channel("lead")?)
        .create_lead(wish)
        .await?
        .into_inner();
    ensure!(lead.email == "ann@example.com", "{lead:?}");
    for deployment in rendered.of_kind("Deployment") {
        scrape_pod(cluster, deployment).await?;
    }
    Ok(())
}

/// Metrics, where the container says that it has them.
async fn scrape_pod(cluster: &Cluster<'_>, deployment: &Value) -> anyhow::Result<()> {
    let ports = list(&pod(deployment)["containers"][0]["ports"]);
    let Some(port) = ports.iter().find(|port| port["name"] == "metrics") else {
        return Ok(());
    };
    let port = port["containerPort"].as_u64().context("a port")?;
    let said = scrape(&format!("127.0.0.1:{}", cluster.port(name(deployment), port)?)).await?;
    ensure!(said.contains("onekeel_ready 1"), "{}: {said}", name(deployment));
    Ok(())
}
