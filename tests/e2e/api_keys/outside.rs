//! Keys as others use them: by the command, and with tokens that somebody else verifies.
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, ensure};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, Ran, World, page, run};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{create, exchange, list, wish};
use crate::commands::onekeel;

pub async fn the_published_keys_verify_a_token(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("basic").await?;
    let secret = create(&world, &admin, wish("key", "viewer", &["leads.read"]))
        .await??
        .secret;
    let token = exchange(&world, &secret).await??.access_token;
    let tenant = world.stack.servers().find(|server| server.service() == "tenant");
    let address = tenant.context("a tenant server")?.metrics_address();
    let shown = page(&address, "/.well-known/jwks.json").await?;
    let (head, body) = shown.split_once("\r\n\r\n").context("a page")?;
    ensure!(head.contains("application/jwk-set+json"), "{head}");
    let set: Value = serde_json::from_str(body)?;
    let (message, signature) = token.rsplit_once('.').context("a token")?;
    let (header, claims) = message.split_once('.').context("a token")?;
    let read = |part: &str| -> anyhow::Result<Value> { Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?) };
    let (header, claims) = (read(header)?, read(claims)?);
    let key = set["keys"]
        .as_array()
        .context("keys")?
        .iter()
        .find(|key| key["kid"] == header["kid"]);
    let public = URL_SAFE_NO_PAD.decode(key.context("the token's key")?["x"].as_str().context("a point")?)?;
    let verified =
        UnparsedPublicKey::new(&ED25519, public).verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature)?);
    ensure!(verified.is_ok(), "the signature is not that of the published key");
    ensure!(
        header["typ"] == "onekeel-api-key+jwt" && claims["iss"] == "onekeel:api-keys" && claims["aud"] == "onekeel-api",
        "{header} {claims}"
    );
    ensure!(
        claims["clientId"] == admin.id.to_string() && claims["role"] == "viewer" && claims["scope"] == "leads.read",
        "{claims}"
    );
    Ok(())
}

pub async fn the_command_makes_exchanges_rotates_and_revokes(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let address = format!("http://{}", world.stack.address("tenant", 0)?);
    let admin = world.stack.token(Some(member.id), Role::Admin)?;
    let key = async |arguments: &[&str]| -> anyhow::Result<Ran> {
        let mut command = onekeel(&[&["api-key"], arguments].concat())?;
        run(command.env("TENANT_ADDR", &address).env("ONEKEEL_TOKEN", &admin)).await
    };
    let made = key(&[
        "create",
        "nightly",
        "--role",
        "agent",
        "--scope",
        "leads.read",
        "--days",
        "90",
    ])
    .await?;
    ensure!(made.code == Some(0), "{}", made.err);
    let secret = made.out.trim_end();
    ensure!(secret.starts_with("okl_") && !made.err.contains("okl_"), "{}", made.err);
    let wrong = key(&["create", "other", "--role", "service", "--scope", "leads.fly"]).await?;
    ensure!(
        wrong.code == Some(2) && wrong.err.contains("--role: ") && wrong.err.contains("--scope: "),
        "{}",
        wrong.err
    );

    let file = world.stack.folder().join(format!("key-{}", member.id));
    std::fs::write(&file, &made.out)?;
    let path = file.display().to_string();
    let mut command = onekeel(&["api-key", "exchange", "--key-file", &path])?;
    let given = run(command.env("TENANT_ADDR", &address)).await?;
    ensure!(given.code == Some(0), "{}", given.err);
    let program = Member::with_token(&world.stack, member.id, given.out.trim_end().to_owned(), 0)?;
    program.count().await?;

    let listed = key(&["list"]).await?.out;
    ensure!(
        listed.contains("nightly") && listed.contains("agent (leads.read)"),
        "{listed}"
    );
    ensure!(!listed.contains(&secret[12..]), "the list shows the secret");
    let id = list(&world, &member).await?[0].id.clone();
    let rotated = key(&["rotate", &id, "--overlap", "0"]).await?;
    ensure!(rotated.code == Some(0), "{}", rotated.err);
    let mut command = onekeel(&["api-key", "exchange"])?;
    let command = command.env("TENANT_ADDR", &address).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child
        .stdin
        .take()
        .context("its input")?
        .write_all(rotated.out.as_bytes())
        .await?;
    let by_input = child.wait_with_output().await?;
    ensure!(by_input.status.success(), "{by_input:?}");

    let revoked = key(&["revoke", &id]).await?;
    ensure!(
        revoked.code == Some(0) && revoked.err.contains("nightly is revoked"),
        "{}",
        revoked.err
    );
    let mut command = onekeel(&["api-key", "exchange", "--key-file", &path])?;
    let refused = run(command.env("TENANT_ADDR", &address)).await?;
    ensure!(
        refused.code == Some(1) && refused.err.contains("UNAUTHENTICATED"),
        "{}",
        refused.err
    );
    let all: Vec<Value> = serde_json::from_str(&key(&["list", "--json"]).await?.out)?;
    ensure!(all.len() == 1 && all[0]["revoked"].is_string(), "{all:?}");
    Ok(())
}
