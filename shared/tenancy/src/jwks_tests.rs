//! Sets that are taken, keys that are left out, and sets that are refused as a whole.
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::KeyPair;

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ed25519(kid: &str) -> Value {
    let pair = KeyPair::generate().expect("a pair");
    let key = VerifyingKey::from_pem(&pair.public_pem).expect("a key").with_id(kid);
    publish([&key]).expect("a set")["keys"][0].clone()
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

/// An RSA key of so many bits; nobody has its private half, which no test here needs.
fn rsa(bits: usize) -> Value {
    let mut modulus = vec![0xa5; bits / 8];
    modulus[bits / 8 - 1] = 0xa7;
    json!({"kty": "RSA", "kid": "rsa", "n": encoded(&modulus), "e": "AQAB"})
}

fn parsed(keys: &[Value]) -> Result<KeySet, KeyError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn a_published_set_is_a_set_to_be_read() {
    let set = parsed(&[ed25519("one"), rsa(2048)]).expect("a set");
    let named: Vec<_> = set.keys.iter().map(|key| (key.id(), key.algorithm())).collect();
    assert_eq!(
        named,
        [(Some("one"), "EdDSA".to_owned()), (Some("rsa"), "RS256".to_owned())]
    );
    let again = publish(&set.keys).expect("a set").to_string();
    let again = KeySet::parse(again.as_bytes()).expect("a set");
    assert_eq!(again.keys[0].thumbprint(), set.keys[0].thumbprint());
}

/// The example of RFC 8037, appendix A.3.
#[test]
fn a_thumbprint_is_that_of_the_standard() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"});
    let set = parsed(&[key]).expect("a set");
    let thumbprint = set.keys[0].thumbprint();
    assert_eq!(
        thumbprint.as_deref(),
        Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    );
}

#[test]
fn keys_for_something_else_are_left_out() {
    let good = ed25519("good");
    let (x, y) = (encoded(&[1; 32]), encoded(&[2; 32]));
    let others = [
        with(ed25519("a"), "use", json!("enc")),
        with(with(ed25519("b"), "use", Value::Null), "key_ops", json!(["sign"])),
        with(ed25519("c"), "alg", json!("RS256")),
        with(ed25519("d"), "crv", json!("Ed448")),
        with(ed25519("e"), "x", json!("AAAA")),
        with(ed25519("f"), "x", Value::Null),
        with(rsa(1024), "kid", json!("g")),
        with(rsa(2040), "kid", json!("h")),
        with(rsa(8200), "kid", json!("i")),
        with(with(rsa(2048), "kid", json!("j")), "e", json!("AQ")),
        with(with(rsa(2048), "kid", json!("k")), "alg", json!("PS256")),
        with(with(rsa(2048), "kid", json!("l")), "alg", json!("RS384")),
        with(with(rsa(2048), "kid", json!("m")), "n", json!("not base64url!")),
        json!({"kty": "EC", "crv": "P-384", "kid": "n", "x": x, "y": y}),
        json!({"kty": "EC", "crv": "P-256", "kid": "o", "x": x, "y": y}),
        json!({"kty": "EC", "crv": "secp256k1", "kid": "p", "x": x, "y": y}),
        json!({"kty": "AKP", "kid": "q", "pub": "AAAA"}),
        with(ed25519("r"), "kid", Value::Null),
        with(ed25519("s"), "kid", json!("")),
        with(ed25519("t"), "kid", json!("x".repeat(201))),
    ];
    for other in others {
        let set = parsed(&[other.clone(), good.clone()]).expect("the good one is left");
        assert_eq!((set.keys.len(), set.left_out.len()), (1, 1), "{other}");
        assert!(parsed(std::slice::from_ref(&other)).is_err(), "{other} alone");
    }
}

#[test]
fn a_set_that_was_lost_or_is_ambiguous_is_refused() {
    let good = ed25519("good");
    for other in [
        json!({"kty": "oct", "kid": "a", "k": "c2VjcmV0"}),
        json!({"kty": "oct", "kid": "a"}),
        with(rsa(2048), "alg", json!("HS256")),
        with(rsa(2048), "k", json!("c2VjcmV0")),
        with(ed25519("b"), "d", json!("AAAA")),
        ed25519("good"),
        with(ed25519("c"), "kid", json!(7)),
        json!({"kid": "no type"}),
        json!("text"),
    ] {
        assert!(parsed(&[good.clone(), other.clone()]).is_err(), "{other}");
    }
    let many: Vec<_> = (0..65).map(|number| ed25519(&number.to_string())).collect();
    assert!(parsed(&many).is_err(), "too many keys");
    let twice = format!(r#"{{"keys":[{good}],"keys":[]}}"#);
    let large = format!(r#"{{"keys":[{good}],"more":"{}"}}"#, "x".repeat(LARGEST_KEY_SET));
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        "{\"keys\":[]}",
        "{\"keys\":{}}",
        &twice,
        &large,
    ] {
        assert!(KeySet::parse(text.as_bytes()).is_err(), "{text:.40}");
    }
}
