//! Files that a server must not take.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use onekeel_operator::stack::{Authority, Pair, endpoint, signed};
use onekeel_tests::World;

use crate::extra::Extra;

const FAILURES: &str = "onekeel_tls_reload_failures_total{of=\"certificate\"}";
const RELOADS: &str = "onekeel_tls_reloads_total{of=\"certificate\"}";
const EXPIRY: &str = "onekeel_tls_certificate_expiry_seconds{of=\"certificate\"}";
const DAY: f64 = 86_400.0;

/// Files in which LeadService's pair is this one.
fn with_pair(extra: &Extra, pair: Pair) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = signed(&extra.certificates.authority, &extra.trusted)?;
    files.retain(|(name, _)| !name.starts_with("lead."));
    files.push(("lead.crt".to_owned(), pair.certificate));
    files.push(("lead.key".to_owned(), pair.key));
    Ok(files)
}

pub async fn broken_files_leave_the_old_ones_in_use(world: Arc<World>) -> anyhow::Result<()> {
    let mut extra = Extra::start(&world, &[]).await?;
    let authority = extra.certificates.authority.clone();
    let (one, other) = (authority.issue("one")?, authority.issue("other")?);
    let expired = authority.issue_for(&["127.0.0.1"], "expired", SystemTime::now() - Duration::from_secs(60))?;
    let pair = |certificate: &str, key: &str| Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let half = &one.certificate[..one.certificate.len() / 2];
    let cases = [
        ("a key of another certificate", pair(&one.certificate, &other.key)),
        ("half a certificate", pair(half, &one.key)),
        ("no key", pair(&one.certificate, "")),
        ("an expired certificate", expired),
    ];
    for (name, broken) in cases {
        let before = extra.metric(FAILURES).await?;
        let files = with_pair(&extra, broken)?;
        extra.certificates.publish(&files)?;
        extra.wait_for_more(FAILURES, before).await.context(name)?;
        connects(&extra).await.context(name)?;
        ensure!(extra.metric(RELOADS).await? == 0.0, "{name} was taken");
    }
    let log = std::fs::read_to_string(extra.certificates.current().join("../log"))?;
    ensure!(log.contains("are no pair") && log.contains("has expired"), "{log}");

    let soon = authority.issue_for(
        &["127.0.0.1"],
        "soon",
        SystemTime::now() + Duration::from_secs(3 * 86_400),
    )?;
    let files = with_pair(&extra, soon)?;
    extra.certificates.publish(&files)?;
    extra.wait_for_more(RELOADS, 0.0).await.context("a good pair")?;
    connects(&extra).await?;
    let left = extra.metric(EXPIRY).await?;
    ensure!(left > 2.9 * DAY && left <= 3.0 * DAY, "{left} s are left");

    // What is trusted is refused as well when it is no authority, or nothing.
    let authority_failures = "onekeel_tls_reload_failures_total{of=\"authority\"}";
    let stranger = Authority::generate("a stranger")?;
    let cut = &stranger.pem[..stranger.pem.len() / 2];
    for broken in ["", cut] {
        let before = extra.metric(authority_failures).await?;
        let files = signed(&authority, broken)?;
        extra.certificates.publish(&files)?;
        extra.wait_for_more(authority_failures, before).await?;
    }
    extra.stop().await
}

async fn connects(extra: &Extra) -> anyhow::Result<()> {
    let endpoint = endpoint(&extra.server.address(), Some(&extra.trusted))?;
    endpoint.connect().await?;
    Ok(())
}
