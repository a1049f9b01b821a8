//! Keys in files: what goes, goes at once; what is broken is not taken.
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_tests::World;

use crate::extra::{Extra, folder};
use crate::forge::{Key, key_set};
use crate::rotation::{LONGEST_TRUST, token, wait_for_refusal};

/// Puts a file in the place of another at once.
fn exchange(path: &Path, text: &str) -> anyhow::Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, text)?;
    Ok(std::fs::rename(next, path)?)
}

pub async fn a_removed_key_is_refused_in_two_replicas_within_two_seconds(world: Arc<World>) -> anyhow::Result<()> {
    let (folder, _) = folder(&world)?;
    let (set, pem) = (folder.join("keys.json"), folder.join("keys.pem"));
    let (stays, goes, unnamed) = (Key::ec()?, Key::rsa()?, Key::ed()?);
    std::fs::write(&set, key_set(&[stays.jwk("stays"), goes.jwk("goes")]))?;
    std::fs::write(&pem, format!("{}{}", unnamed.public_pem()?, stays.public_pem()?))?;
    let environment = [
        ("JWT_JWKS_FILE", set.display().to_string()),
        ("JWT_PUBLIC_KEY_FILE", pem.display().to_string()),
    ];
    let servers = [
        Extra::start(&world, &environment).await?,
        Extra::start(&world, &environment).await?,
    ];
    let both = [&servers[0], &servers[1]];
    let client = world.member("enterprise").await?.id;
    let by = |key: &Key, kid: &str| token(key, kid, client, "ann");
    let (kept, from_set, from_pem) = (by(&stays, "stays")?, by(&goes, "goes")?, by(&unnamed, "any")?);
    for server in both {
        for token in [&kept, &from_set, &from_pem] {
            ensure!(server.believes(token).await?, "a good token is refused");
        }
    }
    exchange(&set, &key_set(&[stays.jwk("stays")]))?;
    let took = wait_for_refusal(both, &from_set).await?;
    ensure!(took <= LONGEST_TRUST, "believed for {took:?} after it left the key set");
    exchange(&pem, &stays.public_pem()?)?;
    let took = wait_for_refusal(both, &from_pem).await?;
    ensure!(
        took <= LONGEST_TRUST,
        "believed for {took:?} after it left the PEM file"
    );
    for server in both {
        ensure!(server.believes(&kept).await?, "the key that stays went as well");
    }
    for server in servers {
        server.stop().await?;
    }
    Ok(())
}

pub async fn broken_files_leave_the_old_keys_in_use(world: Arc<World>) -> anyhow::Result<()> {
    let (folder, _) = folder(&world)?;
    let (set, pem, own) = (
        folder.join("keys.json"),
        folder.join("keys.pem"),
        folder.join("own.key"),
    );
    let (first, second) = (Key::rsa()?, Key::ed()?);
    let old_set = key_set(&[first.jwk("first")]);
    std::fs::write(&set, &old_set)?;
    std::fs::write(&pem, second.public_pem()?)?;
    std::fs::copy(world.stack.secrets.folder.join("lead.key"), &own)?;
    let environment = [
        ("JWT_JWKS_FILE", set.display().to_string()),
        ("JWT_PUBLIC_KEY_FILE", pem.display().to_string()),
        ("SERVICE_KEY_FILE", own.display().to_string()),
    ];
    let extra = Extra::start(&world, &environment).await?;
    let client = world.member("enterprise").await?.id;
    let stranger = onekeel_tenancy::KeyPair::generate()?;
    let secret = Key::Secret(b"a secret that is long enough for HS256".to_vec());
    let own_of_quota = std::fs::read_to_string(world.stack.secrets.folder.join("quota.key"))?;
    let of_a_service = second.jwk("onekeel:lead:made-up");
    let cases = [
        ("jwks_file", &set, "no set", String::new()),
        ("jwks_file", &set, "half a set", old_set[..old_set.len() / 2].to_owned()),
        (
            "jwks_file",
            &set,
            "a set with a secret",
            key_set(&[first.jwk("first"), secret.jwk("secret")]),
        ),
        (
            "jwks_file",
            &set,
            "a kid twice",
            key_set(&[first.jwk("first"), second.jwk("first")]),
        ),
        ("jwks_file", &set, "a service's kid", key_set(&[of_a_service])),
        ("jwks_file", &set, "300 KiB", old_set.clone() + &" ".repeat(300 * 1024)),
        ("public_keys", &pem, "no PEM", "keys".to_owned()),
        ("public_keys", &pem, "a private key", stranger.private_pem.clone()),
        (
            "service_key",
            &own,
            "a key that nobody knows",
            stranger.private_pem.clone(),
        ),
        ("service_key", &own, "another service's key", own_of_quota),
        ("service_key", &own, "no key", "key".to_owned()),
    ];
    for (source, path, name, broken) in cases {
        let before = extra.failures(source).await?;
        exchange(path, &broken)?;
        extra.wait_for_failure(source, before).await.context(name)?;
        for (key, kid) in [(&first, "first"), (&second, "any")] {
            let fresh = token(key, kid, client, name)?;
            ensure!(extra.believes(&fresh).await?, "{name}: {kid} is refused");
        }
        ensure!(
            !extra.believes(&token(&secret, "secret", client, name)?).await?,
            "{name} was taken"
        );
    }
    let log = std::fs::read_to_string(extra.folder.join("log"))?;
    ensure!(log.contains("new keys are refused; the old ones stay in use"), "{log}");
    ensure!(!log.contains("PRIVATE KEY"), "a private key is in the log");
    // Good files again: what was broken is forgotten.
    let before = extra.metric("onekeel_key_reloads_total", &["jwks_file"]).await?;
    exchange(&set, &key_set(&[second.jwk("third")]))?;
    let more = |reloads| reloads > before;
    extra
        .wait_for("onekeel_key_reloads_total", &["jwks_file"], more)
        .await?;
    ensure!(
        extra.believes(&token(&second, "third", client, "ann")?).await?,
        "a good set is not taken"
    );
    extra.stop().await
}
