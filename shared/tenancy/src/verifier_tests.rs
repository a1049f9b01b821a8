//! Tokens that must not pass, and those that must.
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use onekeel_api::{ClientId, ErrorReason};
use serde_json::{Value, json};

use super::*;
use crate::{ClaimNames, KeyPair, Role, Signer, UserToken, VerifyingKey, issue_user_token};

const SECRET: &[u8] = b"a secret of the tests, long enough for HS256";
const CLIENT: &str = "0198c5a0-7e6b-7c3a-9a51-1f0c2d3e4f50";

fn rules() -> TokenRules {
    TokenRules {
        issuer: "idp".to_owned(),
        audience: "onekeel".to_owned(),
        names: ClaimNames::default(),
        longest_life: Duration::from_secs(86_400),
    }
}

fn users(key: VerifyingKey) -> TrustedKey {
    (key, Trust::Users { platform: false })
}

fn secret() -> TrustedKey {
    users(VerifyingKey::hs256(SECRET).expect("long enough"))
}

fn of_lead(pair: &KeyPair) -> TrustedKey {
    let key = VerifyingKey::from_pem(&pair.public_pem).expect("public key");
    (key, Trust::Service("lead".to_owned()))
}

fn verifier(peer: &KeyPair) -> Verifier {
    Verifier::new(rules(), vec![secret(), of_lead(peer)]).expect("a key for users")
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
fn what_is_cached_ends_by_either_clock_and_with_its_keys() {
    let verifier = verifier(&KeyPair::generate().expect("keys"));
    let token = sign(&good(), SECRET);
    let (now, today) = (Instant::now(), get_current_timestamp());
    verifier.verify_at(&token, now).expect("good");
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    let cached = verifier.cache.get(&key).expect("cached");
    let later = now + LONGEST_CACHED;
    assert!(cached.counts(now, today, 0));
    assert!(
        cached.counts(now, today + 300 + LEEWAY_SECONDS, 0),
        "as long as it would be verified"
    );
    assert!(!cached.counts(now, today + 302 + LEEWAY_SECONDS, 0), "it has expired");
    assert!(!cached.counts(later, today, 0), "the clock was set back");
    assert!(!cached.counts(now, today, 1), "its key is gone");
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
        let key = VerifyingKey::from_pem(&public).expect("a public key").with_id("2026");
        let verifier = Verifier::new(rules(), vec![users(key)]).expect("a key for users");
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
        with("role", json!("platform_admin")),
        with("clientId", json!("00000000-0000-0000-0000-000000000000")),
        with("exp", json!(now + 90_000)),
        with("iat", json!(now + 120)),
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
    header.kid = Some(signer.key_id());
    let now = jsonwebtoken::get_current_timestamp();
    for (life, passes) in [(60, true), (3600, false)] {
        let claims = json!({"iss": "onekeel:lead", "aud": "onekeel-internal", "exp": now + life, "clientId": CLIENT, "role": "service"});
        let token = encode(&header, &claims, &key).expect("signs");
        assert_eq!(verifier.verify(&token).is_ok(), passes, "a life of {life} s");
    }
}

#[test]
fn only_a_trusted_key_signs_for_operators() {
    let operator = UserToken {
        issuer: "idp",
        audience: "onekeel",
        client: None,
        user: "olga",
        role: Role::PlatformAdmin,
        scope: None,
        life: Duration::from_secs(60),
    };
    for platform in [false, true] {
        let key = VerifyingKey::hs256(SECRET).expect("long enough");
        let verifier = Verifier::new(rules(), vec![(key, Trust::Users { platform })]).expect("a key");
        let token = issue_user_token(SECRET, &operator).expect("signs");
        assert_eq!(verifier.verify(&token).is_ok(), platform);
        let of_a_tenant = UserToken {
            client: Some(ClientId::new_v7()),
            ..operator
        };
        let token = issue_user_token(SECRET, &of_a_tenant).expect("signs");
        assert!(verifier.verify(&token).is_err(), "an operator of a tenant");
    }
}

#[test]
fn claims_may_have_other_names() {
    let names = ClaimNames {
        client: "https://id.example/tenant".to_owned(),
        user: "sub".to_owned(),
        role: "https://id.example/role".to_owned(),
        scope: "permissions".to_owned(),
    };
    let verifier = Verifier::new(TokenRules { names, ..rules() }, vec![secret()]).expect("a key");
    let exp = jsonwebtoken::get_current_timestamp() + 60;
    let claims = json!({"iss": "idp", "aud": ["other", "onekeel"], "exp": exp, "sub": "ann", "scope": "openid",
        "https://id.example/tenant": CLIENT, "https://id.example/role": "viewer"});
    let Ok(Caller::Tenant(tenant)) = verifier.verify(&sign(&claims, SECRET)) else {
        panic!("no tenant")
    };
    assert_eq!((tenant.user().as_str(), tenant.role()), ("ann", Role::Viewer));
    assert!(verifier.verify(&sign(&good(), SECRET)).is_err(), "the usual names");
    for name in ["", "exp", "role", "sub"] {
        let names = ClaimNames {
            client: name.to_owned(),
            ..ClaimNames::default()
        };
        let refused = Verifier::new(TokenRules { names, ..rules() }, vec![secret()]);
        assert!(refused.is_err(), "{name:?} as the tenant's claim");
    }
}

#[test]
fn what_a_key_has_verified_goes_with_it() {
    let (old, new) = (KeyPair::generate().expect("keys"), KeyPair::generate().expect("keys"));
    let signer = Signer::from_pem("lead", &old.private_pem).expect("key");
    let verifier = verifier(&old);
    let user = sign(&good(), SECRET);
    let Ok(Caller::Tenant(tenant)) = verifier.verify(&user) else {
        panic!("no tenant")
    };
    let by_old = signer.token_for(&tenant).expect("token");
    assert!(verifier.verify(&by_old).is_ok());

    verifier
        .replace(vec![secret(), of_lead(&old), of_lead(&new)])
        .expect("both");
    let is_cached = |token: &str| {
        let hash = digest(&SHA256, token.as_bytes());
        let cached = verifier.cache.get(hash.as_ref());
        cached.is_some_and(|cached| cached.epoch == verifier.epoch.load(Ordering::Acquire))
    };
    assert!(is_cached(&by_old), "a key more is no reason to verify again");
    assert!(signer.replace(&new.private_pem).expect("a key"));
    let by_new = signer.token_for(&tenant).expect("token");
    assert_ne!(by_old, by_new, "the old key's token outlived it");
    assert!(verifier.verify(&by_old).is_ok() && verifier.verify(&by_new).is_ok());

    verifier.replace(vec![secret(), of_lead(&new)]).expect("the new one");
    assert!(!is_cached(&by_old), "a key is gone, and what it verified is not");
    assert!(verifier.verify(&by_old).is_err());
    assert!(verifier.verify(&by_new).is_ok() && verifier.verify(&user).is_ok());

    let twice = verifier.replace(vec![secret(), of_lead(&new), of_lead(&new)]);
    assert!(twice.is_err(), "two keys with one name");
    assert!(verifier.verify(&by_new).is_ok(), "a refused exchange changed something");
}

#[test]
fn a_key_that_may_sign_less_than_before_is_another_key() {
    let key = || VerifyingKey::hs256(SECRET).expect("long enough");
    let verifier = Verifier::new(rules(), vec![(key(), Trust::Users { platform: true })]).expect("a key");
    verifier
        .replace(vec![(key(), Trust::Users { platform: false })])
        .expect("less");
    assert_eq!(verifier.epoch.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn an_unknown_key_is_told_once_and_nobody_waits() {
    let verifier = verifier(&KeyPair::generate().expect("keys"));
    let told = async || {
        let told = tokio::time::timeout(Duration::from_millis(20), verifier.unknown_key());
        told.await.is_ok()
    };
    let named = |kid: &str| {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.to_owned());
        header.alg = Algorithm::HS256;
        encode(&header, &good(), &EncodingKey::from_secret(b"another")).expect("signs")
    };
    assert!(verifier.verify(&sign(&good(), SECRET)).is_ok());
    assert!(!told().await, "nothing was unknown");
    for number in 0..1000 {
        assert!(verifier.verify(&named(&format!("key-{number}"))).is_err());
    }
    assert!(told().await);
    assert!(!told().await, "a thousand unknown keys are one reason to look");
    assert!(verifier.verify(&named("onekeel:lead:nobody")).is_err());
    assert!(!told().await, "services' keys are not the identity provider's");
}
