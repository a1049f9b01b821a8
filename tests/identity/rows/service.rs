//! Tokens that would be a service's: by a key that is none, or by another service's.
use serde_json::{Value, json};

use super::{Material, Rows};
use crate::forge::now;

fn of_service(of: &Material, name: &str) -> Value {
    json!({
        "iss": format!("onekeel:{name}"), "aud": "onekeel-internal", "exp": now() + 60, "iat": now(), "sub": name,
        "clientId": of.client.to_string(), "role": "service",
    })
}

pub fn add(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let (lead, id) = &of.lead;
    let own = |claims: &Value| lead.token(lead.header(Some(id)), claims);
    let good = of_service(of, "lead");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let by_provider = |claims: &Value| of.rsa.token(of.rsa.header(Some("rsa")), claims);
    rows.add(
        "claims",
        "role service by an identity provider",
        by_provider(&of.with("role", json!("service")))?,
    );
    rows.add(
        "audience",
        "a service's claims by an identity provider",
        by_provider(&good)?,
    );
    rows.add(
        "audience",
        "a service's claims by the secret",
        of.secret.token(of.secret.header(None), &good)?,
    );
    rows.add(
        "key",
        "an identity provider's RSA key under a service's name",
        of.rsa.token(of.rsa.header(Some(id)), &good)?,
    );
    rows.add(
        "signature",
        "an identity provider's Ed25519 key under a service's name",
        of.ed.token(of.ed.header(Some(id)), &good)?,
    );
    rows.add("audience", "lead's key signs as quota", own(&of_service(of, "quota"))?);
    rows.add(
        "signature",
        "lead's key under the name of quota's",
        lead.token(lead.header(Some(&of.quota_id)), of_service(of, "quota"))?,
    );
    let thumbprint = id.rsplit(':').next().unwrap_or_default();
    let claimed = format!("onekeel:quota:{thumbprint}");
    rows.add(
        "key",
        "lead's key called quota's",
        lead.token(lead.header(Some(&claimed)), of_service(of, "quota"))?,
    );
    rows.add(
        "key",
        "lead's key without a name",
        lead.token(lead.header(None), &good)?,
    );
    rows.add(
        "key",
        "lead's key by its old name",
        lead.token(lead.header(Some("onekeel:lead")), &good)?,
    );
    rows.add("audience", "lead's key signs for a user", own(&of.claims())?);
    for (name, why, claims) in [
        ("an administrator by lead's key", "claims", with("role", json!("admin"))),
        (
            "an operator by lead's key",
            "claims",
            with("role", json!("platform_admin")),
        ),
        (
            "a service for users' audience",
            "audience",
            with("aud", json!("onekeel")),
        ),
        ("a service for an hour", "claims", with("exp", json!(now() + 3600))),
        ("a service of the past", "time", with("exp", json!(now() - 60))),
        ("a service of the future", "time", with("nbf", json!(now() + 60))),
        ("a service of no tenant", "claims", with("clientId", json!(null))),
        (
            "a service of the platform's id",
            "claims",
            with("clientId", json!("00000000-0000-0000-0000-000000000000")),
        ),
    ] {
        rows.add(why, name, own(&claims)?);
    }
    Ok(())
}
