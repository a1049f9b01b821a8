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

/// A key pair as an identity provider has one: the private key in PEM, the public one as X.509 in PEM.
fn idp_pair(algorithm: Algorithm) -> (EncodingKey, String) {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::rsa;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

    let pem = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der));
    match algorithm {
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a pair");
            let private = pair.to_pkcs8v1().expect("DER");
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
            let private = pem("PRIVATE KEY", private.as_ref());
            (
                EncodingKey::from_ec_pem(private.as_bytes()).expect("a key"),
                pem("PUBLIC KEY", public.as_ref()),
            )
        }
        Algorithm::RS256 => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a pair");
            let private: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
            let private = pem("PRIVATE KEY", private.as_ref());
            (
                EncodingKey::from_rsa_pem(private.as_bytes()).expect("a key"),
                pem("PUBLIC KEY", public.as_ref()),
            )
        }
        _ => {
            let pair = KeyPair::generate().expect("a pair");
            (
                EncodingKey::from_ed_pem(pair.private_pem.as_bytes()).expect("a key"),
                pair.public_pem,
            )
        }
    }
}

#[test]
fn a_providers_public_key_in_pem_verifies_its_algorithm_and_no_other() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        let (private, public) = idp_pair(algorithm);
        let verifier = Verifier::new(VerifierConfig {
            issuer: "idp".to_owned(),
            audience: "onekeel".to_owned(),
            keys: vec![VerifyingKey::from_pem(&public).expect("a public key").with_id("2026")],
            peers: Vec::new(),
        })
        .expect("a key for users");
        let mut header = Header::new(algorithm);
        header.kid = Some("2026".to_owned());
        let token = encode(&header, &good(), &private).expect("signs");
        assert!(verifier.verify(&token).is_ok(), "{algorithm:?}");
        header.kid = Some("2027".to_owned());
        let other_id = encode(&header, &good(), &private).expect("signs");
        assert!(verifier.verify(&other_id).is_err(), "{algorithm:?}: another key id");
        assert!(
            verifier.verify(&sign(&good(), public.as_bytes())).is_err(),
            "{algorithm:?}: the public key as a secret"
        );
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
