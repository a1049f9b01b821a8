//! Well signed tokens that say too little, too much, or something else.
use onekeel_operator::stack::{AUDIENCE, ISSUER};
use serde_json::{Value, json};

use super::{Material, Rows};
use crate::forge::now;

pub fn add(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    issuer_and_audience(of, rows)?;
    times(of, rows)?;
    tenant_user_and_scope(of, rows)?;
    roles(of, rows)?;
    bodies(of, rows)
}

/// A token of these claims, signed by the identity provider.
fn signed(of: &Material, claims: impl ToString) -> anyhow::Result<String> {
    of.rsa.token(of.rsa.header(Some("rsa")), claims)
}

/// A row for each value that a claim must not have, and one without the claim.
fn values(of: &Material, rows: &mut Rows, why: &'static str, name: &str, bad: Vec<Value>) -> anyhow::Result<()> {
    for value in bad {
        let shown: String = value.to_string().chars().take(60).collect();
        rows.add(why, format!("{name} {shown}"), signed(of, of.with(name, value))?);
    }
    Ok(())
}

fn issuer_and_audience(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let issuers = vec![
        json!("attacker"),
        json!(""),
        json!(null),
        json!(7),
        json!([ISSUER]),
        json!([ISSUER, "attacker"]),
        json!({"iss": ISSUER}),
        json!(format!("{ISSUER}/")),
        json!(ISSUER.to_uppercase()),
        json!(ISSUER.replace('e', "\u{435}")),
        json!("onekeel:lead"),
    ];
    values(of, rows, "audience", "iss", issuers)?;
    let audiences = vec![
        json!("other"),
        json!(""),
        json!(null),
        json!(7),
        json!([]),
        json!(["other", "onekeel-internal"]),
        json!({"aud": AUDIENCE}),
        json!(format!("{AUDIENCE} ")),
        json!(format!("{AUDIENCE},other")),
        json!("onekeel-internal"),
    ];
    values(of, rows, "audience", "aud", audiences)?;
    for name in ["iss", "aud"] {
        rows.add("audience", format!("no {name}"), signed(of, of.without(name))?);
    }
    Ok(())
}

fn times(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let now = now();
    let expiries = vec![
        json!(now - 3600),
        json!(now - 60),
        json!(0),
        json!(-1),
        json!(now + 86_400 + 600),
        json!(253_402_300_800_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!((now + 300) * 1000),
        json!((now + 300).to_string()),
        json!(now as f64 + 300.5),
        json!(1e300),
        json!(true),
        json!(null),
    ];
    values(of, rows, "time", "exp", expiries)?;
    rows.add("time", "no exp", signed(of, of.without("exp"))?);
    let not_before = vec![
        json!(now + 3600),
        json!(u64::MAX),
        json!((now - 60).to_string()),
        json!(-1),
    ];
    values(of, rows, "time", "nbf", not_before)?;
    values(
        of,
        rows,
        "claims",
        "exp",
        vec![json!([now + 300]), json!({"exp": now + 300})],
    )?;
    let issued = vec![json!(now + 3600), json!("yesterday"), json!(-1), json!(null)];
    values(of, rows, "time", "iat", issued)
}

fn tenant_user_and_scope(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let id = of.client.to_string();
    let clients = vec![
        json!("00000000-0000-0000-0000-000000000000"),
        json!("00000000000000000000000000000000"),
        json!(""),
        json!("not a uuid"),
        json!(format!("{id} ")),
        json!(format!(" {id}")),
        json!(format!("{id}\u{0}")),
        json!(&id[..35]),
        json!(format!("{id}0")),
        json!(id.replace('0', "\u{660}")),
        json!("*"),
        json!("' or '1'='1"),
        json!(7),
        json!(null),
        json!([id]),
        json!({"id": id}),
    ];
    values(of, rows, "claims", "clientId", clients)?;
    let users = vec![
        json!(""),
        json!("a".repeat(201)),
        json!("ann\nadmin"),
        json!("ann\u{0}"),
        json!(7),
        json!(null),
        json!(["ann"]),
    ];
    values(of, rows, "claims", "userId", users)?;
    let scopes = vec![json!(["leads.read"]), json!(7), json!(null), json!({})];
    values(of, rows, "claims", "scope", scopes)?;
    for name in ["clientId", "userId"] {
        rows.add("claims", format!("no {name}"), signed(of, of.without(name))?);
    }
    Ok(())
}

fn roles(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let roles = vec![
        json!("root"),
        json!(""),
        json!("Admin"),
        json!("ADMIN"),
        json!("admin "),
        json!("admin,platform_admin"),
        json!("viewer admin"),
        json!(["viewer"]),
        json!(["viewer", "admin"]),
        json!({"role": "admin"}),
        json!("\u{430}dmin"),
        json!("admin\u{200b}"),
        json!(7),
        json!(null),
        json!("service"),
        json!("platform_admin"),
        json!("platform_viewer"),
    ];
    values(of, rows, "claims", "role", roles)?;
    rows.add("claims", "no role", signed(of, of.without("role"))?);
    for role in ["platform_admin", "platform_viewer"] {
        let mut operator = of.without("clientId");
        operator["role"] = json!(role);
        rows.add(
            "claims",
            format!("{role} by a provider that may not"),
            signed(of, &operator)?,
        );
        let mixed = of.secret.token(of.secret.header(None), of.with("role", json!(role)))?;
        rows.add("claims", format!("{role} of a tenant, by a key that may"), mixed);
    }
    Ok(())
}

/// Bodies that are no set of claims, or say something twice.
fn bodies(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let good = of.claims().to_string();
    let inner = good.trim_start_matches('{').trim_end_matches('}');
    let other = "0198c5a0-7e6b-7c3a-9a51-1f0c2d3e4f50";
    for (name, body) in [
        ("clientId twice", format!(r#"{{{inner},"clientId":"{other}"}}"#)),
        (
            "clientId twice, the other first",
            format!(r#"{{"clientId":"{other}",{inner}}}"#),
        ),
        (
            "clientId twice, one in disguise",
            format!(r#"{{{inner},"client\u0049d":"{other}"}}"#),
        ),
        ("role twice", format!(r#"{{{inner},"role":"admin"}}"#)),
        ("userId twice", format!(r#"{{{inner},"userId":"ann"}}"#)),
        ("exp twice", format!(r#"{{{inner},"exp":{}}}"#, now() + 300)),
        ("iss twice", format!(r#"{{"iss":"attacker",{inner}}}"#)),
        ("aud twice", format!(r#"{{"aud":"other",{inner}}}"#)),
        ("an unknown claim twice", format!(r#"{{{inner},"x":1,"x":2}}"#)),
        ("a list of claims", format!("[{good}]")),
        ("a text of claims", json!(good).to_string()),
        ("null", "null".to_owned()),
        ("no JSON", "claims".to_owned()),
        ("a comma too many", format!("{{{inner},}}")),
        ("something behind", format!("{good}x")),
        ("another object behind", format!("{good}{good}")),
        ("a mark of byte order before", format!("\u{feff}{good}")),
        ("an end that never comes", format!("{{{inner}")),
        ("a number beyond all", format!(r#"{{{inner},"x":1e999}}"#)),
        (
            "1500 lists in one another",
            format!(r#"{{{inner},"x":{}{}}}"#, "[".repeat(1500), "]".repeat(1500)),
        ),
    ] {
        rows.add("claims", name, signed(of, body)?);
    }
    rows.add("audience", "no claim but exp", signed(of, json!({"exp": now() + 300}))?);
    let header = of.rsa.header(Some("rsa")).to_string();
    let broken = [good.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\xfe\"}"].concat();
    let token = of.rsa.token_of_bytes(header.as_bytes(), &broken)?;
    rows.add("claims", "bytes that are no UTF-8", token);
    Ok(())
}
