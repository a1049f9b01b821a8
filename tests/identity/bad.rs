//! Every bad token gets the same answer, as fast as any other.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_tenancy::Signer;
use onekeel_tests::{World, keeps_contract};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::extra::{Extra, folder};
use crate::forge::{Key, key_set};
use crate::rows::{Material, Row};

/// So often is each token timed, all in turn.
const ROUNDS: usize = 15;
/// What a refusal may take beyond that of a bad signature: no other work takes so little, and no noise so much, in the
/// middle of many.
const SLOWER: f64 = 3.0;
const NOISE: Duration = Duration::from_millis(2);

/// A server that knows keys of every kind, and what signs for it.
async fn start(world: &World) -> anyhow::Result<(Extra, Material)> {
    let secrets = &world.stack.secrets.folder;
    let own = std::fs::read_to_string(secrets.join("lead.key"))?;
    let tenant = std::fs::read_to_string(secrets.join("tenant.key"))?;
    let quota = std::fs::read_to_string(secrets.join("quota.key"))?;
    let material = Material {
        client: world.member("enterprise").await?.id,
        secret: Key::Secret(world.stack.secrets.jwt.clone().into_bytes()),
        rsa: Key::rsa()?,
        rsa_2: Key::rsa()?,
        ec: Key::ec()?,
        ed: Key::ed()?,
        lead: (Key::of_service(&own)?, Signer::from_pem("lead", &own)?.key_id()),
        tenant: (Key::of_service(&tenant)?, Signer::from_pem("tenant", &tenant)?.key_id()),
        quota_id: Signer::from_pem("quota", &quota)?.key_id(),
        stranger: Key::rsa()?,
    };
    let set = key_set(&[
        material.rsa.jwk("rsa"),
        material.rsa_2.jwk("rsa-2"),
        material.ec.jwk("ec"),
        material.ed.jwk("ed"),
    ]);
    let file = folder(world)?.0.join("keys.json");
    std::fs::write(&file, set)?;
    let extra = Extra::start(world, &[("JWT_JWKS_FILE", file.display().to_string())]).await?;
    for (name, token) in material.good()? {
        ensure!(extra.believes(&token).await?, "a good token of {name} is refused");
    }
    Ok((extra, material))
}

/// All that a refusal shows, but for its trace id.
fn shown(status: &Status) -> String {
    let details = status.get_error_details();
    let trace = details
        .request_info()
        .map(|info| info.request_id.clone())
        .unwrap_or_default();
    let bytes = String::from_utf8_lossy(status.details()).replace(&trace, "trace");
    let mut headers: Vec<_> = status
        .metadata()
        .clone()
        .into_headers()
        .iter()
        .map(|(name, value)| format!("{name}: {value:?}"))
        .filter(|line| !line.starts_with("date:"))
        .collect();
    headers.sort();
    format!("{:?} {} {bytes:?} {headers:?}", status.code(), status.message()).replace(&trace, "trace")
}

async fn refusal(extra: &Extra, row: &Row) -> anyhow::Result<Status> {
    match extra.call(&row.token).await.with_context(|| row.name.clone())? {
        Ok(_) => anyhow::bail!("{}: a bad token passed", row.name),
        Err(status) => Ok(status),
    }
}

pub async fn every_bad_token_gets_one_and_the_same_answer(world: Arc<World>) -> anyhow::Result<()> {
    let (extra, material) = start(&world).await?;
    let rows = material.rows()?;
    ensure!(rows.len() >= 200, "only {} rows", rows.len());
    let mut wanted = None;
    let mut wrong = Vec::new();
    for row in &rows {
        let why = format!("why=\"{}\"", row.why);
        let before = extra.metric("onekeel_token_refusals_total", &[&why]).await?;
        let status = refusal(&extra, row).await?;
        ensure!(status.code() == Code::Unauthenticated, "{}: {status:?}", row.name);
        keeps_contract(&status).with_context(|| row.name.clone())?;
        let said = shown(&status);
        let wanted = wanted.get_or_insert_with(|| said.clone());
        ensure!(said == *wanted, "{}: {said}\ninstead of {wanted}", row.name);
        if extra.metric("onekeel_token_refusals_total", &[&why]).await? - before < 0.5 {
            wrong.push(format!("{}: not refused for {}", row.name, row.why));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    println!("{} bad tokens, one answer", rows.len());
    for (name, token) in material.good()? {
        ensure!(
            extra.believes(&token).await?,
            "a good token of {name} is refused after all that"
        );
    }
    extra.stop().await
}

pub async fn no_bad_token_takes_longer_than_a_bad_signature(world: Arc<World>) -> anyhow::Result<()> {
    let (extra, material) = start(&world).await?;
    let rows = material.rows()?;
    let baseline = Row {
        name: "a bad signature".to_owned(),
        why: "signature",
        token: material.badly_signed()?.into(),
    };
    let mut times = vec![Vec::new(); rows.len()];
    let mut usual = Vec::new();
    for _ in 0..ROUNDS {
        for (row, times) in rows.iter().zip(&mut times) {
            let began = Instant::now();
            refusal(&extra, &baseline).await?;
            let between = Instant::now();
            refusal(&extra, row).await?;
            usual.push(between - began);
            times.push(between.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let usual = median(&mut usual);
    let most = usual.mul_f64(SLOWER) + NOISE;
    let slow: Vec<_> = rows
        .iter()
        .zip(&mut times)
        .map(|(row, times)| (row.name.as_str(), median(times)))
        .filter(|(_, time)| *time > most)
        .collect();
    ensure!(
        slow.is_empty(),
        "a bad signature takes {usual:?}, and these take longer: {slow:?}"
    );
    extra.stop().await
}
