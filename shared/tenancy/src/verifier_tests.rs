//! Tokens that must not pass, and those that must.
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use onekeel_api::{ClientId, ErrorReason};
use serde_json::{Value, json};

use super::*;
use crate::{KeyPair, Role, Signer, UserToken, issue_user_token};

const SECRET: &[u8] = b"a secret of the tests, long enough for HS256";
const CLIENT: &str = "0198c5a0-7e6b-7c3a-9a51-1f0c2d3e4f50";

fn verifier(peer: &KeyPair) -> Verifier {
    let key = VerifyingKey::from_pem(&peer.public_pem).expect("public key");
    Verifier::new(VerifierConfig {
        issuer: "idp".to_owned(),
        audience: "onekeel".to_owned(),
        keys: vec![VerifyingKey::hs256(SECRET).expect("long enough")],
        peers: vec![("lead".to_owned(), key)],
    })
    .expect("a key for users")
}

fn good() -> Value {
    let exp = jsonwebtoken::get_current_timestamp() + 300;
    json!({"iss": "idp", "aud": "onekeel", "exp": exp, "userId": "ann", "clientId": CLIENT, "role": "agent"})
}

fn sign(claims: &Value, secret: &[u8]) -> String {
    encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret),
    )
    .expect("signs")
}

#[test]
fn a_good_token_proves_its_tenant() {
    let verifier = verifier(&KeyPair::generate().expect("keys"));
    let token = sign(&good(), SECRET);
    for round in ["fresh", "cached"] {
        let Ok(Caller::Tenant(tenant)) = verifier.verify(&token) else {
            panic!("{round}: no tenant")
        };
        assert_eq!(tenant.id().to_string(), CLIENT);
        assert_eq!((tenant.user().as_str(), tenant.role()), ("ann", Role::Agent));
    }
}

#[test]
fn every_bad_token_gets_the_same_answer() {
    let peer = KeyPair::generate().expect("keys");
    let verifier = verifier(&peer);
    let with = |key: &str, value: Value| {
        let mut claims = good();
        claims[key] = value;
        sign(&claims, SECRET)
    };
    let without = |key: &str| {
        let mut claims = good();
        claims.as_object_mut().expect("object").remove(key);
        sign(&claims, SECRET)
    };
    let now = jsonwebtoken::get_current_timestamp();
    let none = format!(
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
        sign(&good(), SECRET).split('.').nth(1).expect("body")
    );
    let public_as_secret = sign(&good(), peer.public_pem.as_bytes());
    let as_service = {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("onekeel:lead".to_owned());
        encode(&header, &good(), &EncodingKey::from_secret(SECRET)).expect("signs")
    };
    let own_key_as_user = {
        let key = EncodingKey::from_ed_pem(peer.private_pem.as_bytes()).expect("key");
        encode(&Header::new(Algorithm::EdDSA), &good(), &key).expect("signs")
    };
    let bad = [
        String::new(),
        "a.b.c".to_owned(),
        "x".repeat(9000),
        sign(&good(), b"another secret that is long enough as well"),
        none,
        public_as_secret,
        as_service,
        own_key_as_user,
        with("iss", json!("other")),
        with("aud", json!("onekeel-internal")),
        with("exp", json!(now - 120)),
        with("nbf", json!(now + 120)),
        with("role", json!("service")),
        with("role", json!("root")),
        with("clientId", json!("not a uuid")),
        with("userId", json!("")),
        without("clientId"),
        without("exp"),
        without("aud"),
        without("iss"),
        without("role"),
        without("userId"),
    ];
    for token in bad {
        let fault = verifier.verify(&token).expect_err("a bad token passed");
        assert_eq!(fault.reason(), ErrorReason::Unauthenticated);
        assert_eq!(fault.message(), Fault::unauthenticated().message());
    }
}

#[test]
fn a_service_signs_for_itself_only_and_briefly() {
    let lead = KeyPair::generate().expect("keys");
    let verifier = verifier(&lead);
    let user = UserToken {
        issuer: "idp",
        audience: "onekeel",
        client: Some(ClientId::new_v7()),
        user: "ann",
        role: Role::Viewer,
        scope: None,
        life: Duration::from_secs(60),
    };
    let token = issue_user_token(SECRET, &user).expect("signs");
    let Ok(Caller::Tenant(tenant)) = verifier.verify(&token) else {
        panic!("no tenant")
    };
    let signer = Signer::from_pem("lead", &lead.private_pem).expect("key");
    let Ok(Caller::Service(service)) = verifier.verify(&signer.token_for(&tenant).expect("token")) else {
        panic!("no service")
    };
    assert_eq!((service.name(), service.tenant().id()), ("lead", tenant.id()));

    let as_quota = Signer::from_pem("quota", &lead.private_pem).expect("key");
    assert!(verifier.verify(&as_quota.token_for(&tenant).expect("token")).is_err());

    let key = EncodingKey::from_ed_pem(lead.private_pem.as_bytes()).expect("key");
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("onekeel:lead".to_owned());
    let now = jsonwebtoken::get_current_timestamp();
    for (life, passes) in [(60, true), (3600, false)] {
        let claims = json!({"iss": "onekeel:lead", "aud": "onekeel-internal", "exp": now + life, "clientId": CLIENT, "role": "service"});
        let token = encode(&header, &claims, &key).expect("signs");
        assert_eq!(verifier.verify(&token).is_ok(), passes, "a life of {life} s");
    }
}
