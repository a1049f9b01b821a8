//! The key set's address does whatever an address may do.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_operator::stack::Authority;
use onekeel_tests::World;

use crate::extra::Extra;
use crate::forge::{Key, key_set};
use crate::provider::{Answer, Provider};
use crate::rotation::token;

const SOURCE: &str = "jwks_url";
/// A server looks at the address for so long, and at most so often for keys that it does not know.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);

fn environment(provider: &Provider, refresh: &str) -> Vec<(&'static str, String)> {
    vec![
        ("JWT_JWKS_URL", provider.url.clone()),
        ("JWT_JWKS_REFRESH_SECONDS", refresh.to_owned()),
    ]
}

pub async fn an_address_that_breaks_leaves_the_old_keys_in_use(world: Arc<World>) -> anyhow::Result<()> {
    let (key, other) = (Key::rsa()?, Key::ec()?);
    let (set, others) = (key_set(&[key.jwk("old")]), key_set(&[other.jwk("other")]));
    let elsewhere = Provider::start(Answer::Text(200, others.clone())).await?;
    let provider = Provider::start(Answer::Text(200, set.clone())).await?;
    let extra = Extra::start(&world, &environment(&provider, "1")).await?;
    let client = world.member("enterprise").await?.id;
    let secret = Key::Secret(vec![7; 32]);
    let answers = [
        Answer::Text(500, others.clone()),
        Answer::Text(404, others.clone()),
        Answer::Text(204, String::new()),
        Answer::Text(200, String::new()),
        Answer::Text(200, "<html>sign in</html>".to_owned()),
        Answer::Text(200, "{\"keys\":[]}".to_owned()),
        Answer::Text(200, key_set(&[other.jwk("other"), secret.jwk("secret")])),
        Answer::Text(200, key_set(&[other.jwk("other"), key.jwk("other")])),
        Answer::Redirect(elsewhere.url.clone()),
        Answer::Large { announced: true },
        Answer::Large { announced: false },
        Answer::Cut(others.clone()),
        Answer::Noise,
        Answer::Silent,
        Answer::Slow,
    ];
    let resident = extra.server.resident()?;
    for answer in answers {
        let name: String = format!("{answer:?}").chars().take(60).collect();
        provider.set(answer);
        // The second, so that it surely met this answer.
        let before = extra.failures(SOURCE).await?;
        let once = extra.wait_for_failure(SOURCE, before).await.context(name.clone())?;
        extra.wait_for_failure(SOURCE, once).await.context(name.clone())?;
        ensure!(
            extra.believes(&token(&key, "old", client, &name)?).await?,
            "{name}: the old key is refused"
        );
        ensure!(
            !extra.believes(&token(&other, "other", client, &name)?).await?,
            "{name} was taken"
        );
    }
    ensure!(elsewhere.asked() == 0, "a redirect was followed");
    let grown = extra.server.resident()?.saturating_sub(resident);
    ensure!(grown < 16 * 1024, "{grown} kB more in memory");
    let age = extra.metric("onekeel_key_set_age_seconds", &[SOURCE]).await?;
    ensure!(age > LONGEST_LOOK.as_secs_f64(), "the set is {age} s old");
    provider.publish(others);
    extra
        .wait_for("onekeel_key_set_age_seconds", &[SOURCE], |age| age < 2.0)
        .await?;
    ensure!(
        extra.believes(&token(&other, "other", client, "ann")?).await?,
        "a good set is not taken"
    );
    ensure!(
        !extra.believes(&token(&key, "old", client, "ann")?).await?,
        "a key that is gone is believed"
    );
    extra.stop().await
}

pub async fn keys_that_nobody_confirms_are_given_up(world: Arc<World>) -> anyhow::Result<()> {
    let key = Key::ed()?;
    let set = key_set(&[key.jwk("key")]);
    let provider = Provider::start(Answer::Text(200, set.clone())).await?;
    let mut environment = environment(&provider, "1");
    environment.push(("JWT_JWKS_KEEP_SECONDS", "4".to_owned()));
    let extra = Extra::start(&world, &environment).await?;
    let client = world.member("enterprise").await?.id;
    let token = token(&key, "key", client, "ann")?;
    ensure!(extra.believes(&token).await?, "a good token is refused");
    provider.set(Answer::Text(500, String::new()));
    let before = extra.failures(SOURCE).await?;
    extra.wait_for_failure(SOURCE, before).await?;
    ensure!(
        extra.believes(&token).await?,
        "one failure is no reason to give keys up"
    );
    extra.wait_for_keys(1).await?;
    ensure!(!extra.believes(&token).await?, "keys are believed that nobody confirms");
    provider.publish(set);
    extra.wait_for_keys(2).await?;
    ensure!(extra.believes(&token).await?, "confirmed keys are not believed");
    extra.stop().await
}

pub async fn unknown_keys_cause_one_look_and_no_more(world: Arc<World>) -> anyhow::Result<()> {
    let (old, new, stranger) = (Key::rsa()?, Key::rsa()?, Key::ed()?);
    let provider = Provider::start(Answer::Text(200, key_set(&[old.jwk("old")]))).await?;
    let extra = Extra::start(&world, &environment(&provider, "86400")).await?;
    let began = tokio::time::Instant::now();
    let client = world.member("enterprise").await?.id;
    ensure!(provider.asked() == 1, "asked {} times at the start", provider.asked());
    provider.publish(key_set(&[old.jwk("old"), new.jwk("new")]));
    let mut round = tokio::time::interval(Duration::from_millis(10));
    let mut tried = 0;
    while began.elapsed() < SHORTEST_PAUSE + Duration::from_secs(4) {
        round.tick().await;
        let kid = format!("unknown-{tried}");
        ensure!(
            !extra.believes(&token(&stranger, &kid, client, "eve")?).await?,
            "a stranger is believed"
        );
        tried += 1;
    }
    ensure!(
        provider.asked() == 2,
        "asked {} times for {tried} unknown keys",
        provider.asked()
    );
    ensure!(
        extra.believes(&token(&new, "new", client, "ann")?).await?,
        "the look found nothing"
    );
    extra.stop().await
}

pub async fn a_server_does_not_start_without_the_keys_that_it_was_promised(world: Arc<World>) -> anyhow::Result<()> {
    let set = key_set(&[Key::ed()?.jwk("key")]);
    let authority = Authority::generate("somebody")?;
    let broken = Provider::start(Answer::Text(503, set.clone())).await?;
    let untrusted = Provider::start_secure(Answer::Text(200, set), &authority).await?;
    let far = ("JWT_JWKS_URL", "http://id.example.com/keys".to_owned());
    for (said, setting) in [
        ("the answer is 503", ("JWT_JWKS_URL", broken.url.clone())),
        ("TLS", ("JWT_JWKS_URL", untrusted.url.clone())),
        ("must be https://", far),
        ("JWT_JWKS_FILE", ("JWT_JWKS_FILE", "/nowhere/keys.json".to_owned())),
        ("claim", ("JWT_ROLE_CLAIM", "clientId".to_owned())),
        (
            "SERVICE_PEERS_DIR",
            (
                "SERVICE_KEY_FILE",
                world.stack.secrets.folder.join("quota.key").display().to_string(),
            ),
        ),
    ] {
        let mut extra = Extra::launch(&world, std::slice::from_ref(&setting)).await?;
        ensure!(
            extra.server.wait_until_serving().await.is_err(),
            "{setting:?}: it serves"
        );
        let log = std::fs::read_to_string(extra.folder.join("log"))?;
        ensure!(log.contains(said), "{setting:?}: {log}");
    }
    Ok(())
}
