//! A provider's key takes another's place, in the order in which an operator does it.
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::ClientId;
use onekeel_operator::stack::{AUDIENCE, Authority, ISSUER};
use onekeel_tests::World;
use serde_json::json;

use crate::extra::{Extra, LONGEST_CHANGE, folder};
use crate::forge::{Key, key_set, now};
use crate::provider::{Answer, Provider};

const CALLERS: usize = 4;
const PACE: Duration = Duration::from_millis(20);
/// From the moment at which a key is gone from its source.
pub const LONGEST_TRUST: Duration = Duration::from_secs(2);

/// A fresh token of a tenant's user.
pub fn token(key: &Key, kid: &str, client: ClientId, user: &str) -> anyhow::Result<String> {
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": now() + 600, "userId": user,
        "clientId": client.to_string(), "role": "viewer"});
    key.token(key.header(Some(kid)), claims)
}

/// Waits until both servers refuse what they believed; says how long that took.
pub async fn wait_for_refusal(servers: [&Extra; 2], token: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut round = tokio::time::interval(Duration::from_millis(50));
    loop {
        round.tick().await;
        if !servers[0].believes(token).await? && !servers[1].believes(token).await? {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < LONGEST_CHANGE, "a key that is gone is still believed");
    }
}

struct Load {
    servers: [Extra; 2],
    /// What callers sign with now.
    signing: Mutex<(Arc<Key>, &'static str)>,
    client: ClientId,
    calls: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    async fn call_on(self: Arc<Self>, caller: usize) -> anyhow::Result<()> {
        let mut round = tokio::time::interval(PACE);
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            round.tick().await;
            let (key, kid) = self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Half of the calls come with a token that is known already.
            let user = format!("caller-{caller}-{}", number / 2);
            let token = token(&key, kid, self.client, &user)?;
            let answer = self.servers[number % 2].call(&token).await?;
            answer.with_context(|| format!("call {number} with {kid}"))?;
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn wait_for_calls(&self, more: usize) -> anyhow::Result<()> {
        let before = self.calls.load(Ordering::Relaxed);
        let deadline = tokio::time::Instant::now() + LONGEST_CHANGE;
        let mut round = tokio::time::interval(Duration::from_millis(20));
        while self.calls.load(Ordering::Relaxed) < before + more {
            ensure!(tokio::time::Instant::now() < deadline, "no calls after a change");
            round.tick().await;
        }
        Ok(())
    }

    /// One algorithm after the other takes the place of the one before.
    async fn change(&self, provider: &Provider) -> anyhow::Result<()> {
        let servers = [&self.servers[0], &self.servers[1]];
        for (next, name) in [(Key::ec()?, "second"), (Key::ed()?, "third"), (Key::rsa()?, "fourth")] {
            let (old, old_name) = self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone();
            provider.publish(key_set(&[old.jwk(old_name), next.jwk(name)]));
            for server in servers {
                server.wait_for_keys(3).await?;
            }
            let next = Arc::new(next);
            *self.signing.lock().unwrap_or_else(PoisonError::into_inner) = (next.clone(), name);
            self.wait_for_calls(100).await?;
            let known = token(&old, old_name, self.client, "leaving")?;
            for server in servers {
                ensure!(server.believes(&known).await?, "{old_name} went too early");
            }
            provider.publish(key_set(&[next.jwk(name)]));
            let took = wait_for_refusal(servers, &known).await?;
            ensure!(
                took <= LONGEST_TRUST,
                "{old_name} was believed for {took:?} after its end"
            );
            self.wait_for_calls(50).await?;
        }
        Ok(())
    }
}

pub async fn a_providers_keys_change_under_load_without_a_refused_call(world: Arc<World>) -> anyhow::Result<()> {
    let authority = Authority::generate("provider")?;
    let ca = folder(&world)?.0.join("ca.pem");
    std::fs::write(&ca, &authority.pem)?;
    for secure in [false, true] {
        let first = Arc::new(Key::rsa()?);
        let answer = Answer::Text(200, key_set(&[first.jwk("first")]));
        let provider = if secure {
            Provider::start_secure(answer, &authority).await?
        } else {
            Provider::start(answer).await?
        };
        let environment = [
            ("JWT_JWKS_URL", provider.url.clone()),
            ("JWT_JWKS_CA_FILE", ca.display().to_string()),
            ("JWT_JWKS_REFRESH_SECONDS", "1".to_owned()),
        ];
        let load = Arc::new(Load {
            servers: [
                Extra::start(&world, &environment).await?,
                Extra::start(&world, &environment).await?,
            ],
            signing: Mutex::new((first, "first")),
            client: world.member("enterprise").await?.id,
            calls: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        world.limit_requests(load.client, 1_000_000, "open").await?;
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(load.clone().call_on(caller));
        }
        let changed = tokio::select! {
            changed = load.change(&provider) => changed,
            Some(ended) = callers.join_next() => ended?.and(Err(anyhow::anyhow!("a caller ended early"))),
        };
        load.over.store(true, Ordering::Relaxed);
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        changed.with_context(|| provider.url.clone())?;
        let load = Arc::try_unwrap(load).ok().context("a caller still runs")?;
        println!("{} calls over three keys by {}", load.calls.into_inner(), provider.url);
        for server in load.servers {
            server.stop().await?;
        }
    }
    Ok(())
}
