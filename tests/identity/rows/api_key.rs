//! Tokens that would be an API key's: by another key than TenantService's, or of another kind.
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Material, Rows};
use crate::forge::{Key, encoded, now};

/// What the header of such a token calls it.
pub const TYPE: &str = "onekeel-api-key+jwt";

/// The claims of a good one.
pub fn claims(of: &Material) -> Value {
    let key = Uuid::now_v7();
    json!({
        "iss": "onekeel:api-keys", "aud": "onekeel-api", "exp": now() + 300, "iat": now(), "sub": format!("api_key:{key}"),
        "clientId": of.client.to_string(), "role": "agent", "scope": "leads.read leads.write", "keyId": key.to_string(),
        "secretId": Uuid::now_v7().to_string(),
    })
}

/// A token of that type, signed by a key under a name.
pub fn signed(key: &Key, kid: Option<&str>, claims: &Value) -> anyhow::Result<String> {
    let mut header = key.header(kid);
    header["typ"] = json!(TYPE);
    key.token(header, claims)
}

pub fn add(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let ((own, id), good) = (&of.tenant, claims(of));
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    by_other_keys(of, rows, &good)?;
    of_other_kinds(of, rows, &good)?;
    for (why, name, claims) in [
        (
            "claims",
            "an API key with a platform role",
            with("role", json!("platform_admin")),
        ),
        (
            "claims",
            "an API key with the role of services",
            with("role", json!("service")),
        ),
        (
            "claims",
            "an API key with an unknown role",
            with("role", json!("owner")),
        ),
        ("claims", "an API key without a role", with("role", json!(null))),
        ("claims", "an API key without a scope", with("scope", json!(null))),
        ("claims", "an API key without its id", with("keyId", json!(null))),
        (
            "claims",
            "an API key without its secret's id",
            with("secretId", json!(null)),
        ),
        ("claims", "an API key that names a user", with("sub", json!("ann"))),
        ("claims", "an API key of no tenant", with("clientId", json!(null))),
        (
            "claims",
            "an API key of the platform's id",
            with("clientId", json!("00000000-0000-0000-0000-000000000000")),
        ),
        ("time", "an API key's token of the past", with("exp", json!(now() - 60))),
        (
            "time",
            "an API key's token for an hour",
            with("exp", json!(now() + 3600)),
        ),
        (
            "time",
            "an API key's token of the future",
            with("nbf", json!(now() + 60)),
        ),
        (
            "audience",
            "an API key's token for users' audience",
            with("aud", json!("onekeel")),
        ),
        (
            "audience",
            "an API key's token for services' audience",
            with("aud", json!("onekeel-internal")),
        ),
        (
            "audience",
            "an API key's token by the identity provider's name",
            with("iss", of.claims()["iss"].clone()),
        ),
        (
            "audience",
            "an API key's token by the service's name",
            with("iss", json!("onekeel:tenant")),
        ),
    ] {
        rows.add(why, name, signed(own, Some(id), &claims)?);
    }
    let token = signed(own, Some(id), &good)?;
    let mut parts = token.split('.');
    let (head, signature) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    let admin = encoded(with("role", json!("admin")).to_string());
    rows.add(
        "signature",
        "an API key's token with its role changed",
        format!("{head}.{admin}.{signature}"),
    );
    Ok(())
}

fn by_other_keys(of: &Material, rows: &mut Rows, good: &Value) -> anyhow::Result<()> {
    let ((lead, lead_id), (_, id)) = (&of.lead, &of.tenant);
    rows.add(
        "key",
        "lead's key signs for an API key",
        signed(lead, Some(lead_id), good)?,
    );
    rows.add(
        "signature",
        "lead's key signs for an API key as tenant's",
        signed(lead, Some(id), good)?,
    );
    rows.add(
        "key",
        "an identity provider signs for an API key",
        signed(&of.rsa, Some("rsa"), good)?,
    );
    rows.add(
        "key",
        "an identity provider signs for an API key as tenant's",
        signed(&of.rsa, Some(id), good)?,
    );
    rows.add(
        "key",
        "the secret signs for an API key",
        signed(&of.secret, None, good)?,
    );
    rows.add(
        "key",
        "tenant's key without a name signs for an API key",
        signed(&of.tenant.0, None, good)?,
    );
    Ok(())
}

fn of_other_kinds(of: &Material, rows: &mut Rows, good: &Value) -> anyhow::Result<()> {
    let (own, id) = &of.tenant;
    let service = json!({
        "iss": "onekeel:tenant", "aud": "onekeel-internal", "exp": now() + 60, "iat": now(), "sub": "tenant",
        "clientId": of.client.to_string(), "role": "service",
    });
    rows.add(
        "audience",
        "a service's token called an API key's",
        signed(own, Some(id), &service)?,
    );
    rows.add(
        "audience",
        "an API key's token called a service's",
        own.token(own.header(Some(id)), good)?,
    );
    rows.add(
        "audience",
        "a user's token called an API key's",
        signed(own, Some(id), &of.claims())?,
    );
    for typ in [
        "onekeel-api-key",
        "ONEKEEL-API-KEY+JWT",
        "application/onekeel-api-key+jwt",
    ] {
        let mut header = own.header(Some(id));
        header["typ"] = json!(typ);
        rows.add(
            "header",
            format!("an API key's token called {typ}"),
            own.token(header, good)?,
        );
    }
    Ok(())
}
