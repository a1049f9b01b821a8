//! Tokens that are given for API keys: what they prove, and that nothing else can be taken for one.
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use onekeel_api::tenant::CallerKind;
use onekeel_api::{ClientId, ErrorReason};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{ApiKeyId, ApiKeyToken, ClaimNames, KeyPair, Role, Signer, Tenant, VerifyingKey};

const SECRET: &[u8] = b"a secret of the tests, long enough for HS256";
const TYPE: &str = "onekeel-api-key+jwt";

struct Fixture {
    verifier: Verifier,
    tenant: KeyPair,
    lead: KeyPair,
    holder: Tenant,
}

impl Fixture {
    #[expect(clippy::disallowed_methods, reason = "nobody's key is looked up")]
    fn new() -> Self {
        let [tenant, lead] = [(); 2].map(|()| KeyPair::generate().expect("keys"));
        let rules = TokenRules {
            issuer: "idp".to_owned(),
            audience: "onekeel".to_owned(),
            // An identity provider's names do not change what our own tokens are called.
            names: ClaimNames {
                client: "org".to_owned(),
                role: "org_role".to_owned(),
                ..ClaimNames::default()
            },
            longest_life: Duration::from_secs(60),
        };
        let peer = |name: &str, pair: &KeyPair| {
            let key = VerifyingKey::from_pem(&pair.public_pem).expect("a public key");
            (key, Trust::Service(name.to_owned()))
        };
        let users = (
            VerifyingKey::hs256(SECRET).expect("long enough"),
            Trust::Users { platform: true },
        );
        let keys = vec![users, peer("tenant", &tenant), peer("lead", &lead)];
        let id = ApiKeyId {
            key: Uuid::now_v7(),
            secret: Uuid::now_v7(),
        };
        Self {
            verifier: Verifier::new(rules, keys).expect("keys"),
            tenant,
            lead,
            holder: Tenant::for_shown_key(ClientId::new_v7(), id),
        }
    }

    fn signer(&self) -> Signer {
        Signer::from_pem("tenant", &self.tenant.private_pem).expect("a key")
    }

    fn token(&self, role: Role, scope: &str) -> Result<String, Fault> {
        let issued = get_current_timestamp();
        let expires = issued + 300;
        let token = ApiKeyToken {
            role,
            scope,
            issued,
            expires,
        };
        self.signer().api_key_token(&self.holder, &token)
    }

    fn claims(&self) -> Value {
        let key = self.holder.api_key().expect("a key");
        json!({
            "iss": "onekeel:api-keys", "aud": "onekeel-api", "exp": get_current_timestamp() + 300,
            "sub": format!("api_key:{}", key.key), "clientId": self.holder.id().to_string(), "role": "agent",
            "scope": "leads.read", "keyId": key.key.to_string(), "secretId": key.secret.to_string(),
        })
    }

    fn sign(pair: &KeyPair, kid: &str, typ: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = typ.map(str::to_owned);
        header.kid = Some(kid.to_owned());
        let key = EncodingKey::from_ed_pem(pair.private_pem.as_bytes()).expect("a key");
        encode(&header, claims, &key).expect("signs")
    }

    fn by_tenant(&self, typ: Option<&str>, claims: &Value) -> String {
        Self::sign(&self.tenant, &self.signer().key_id(), typ, claims)
    }

    fn refuses(&self, name: &str, token: &str) {
        let fault = self.verifier.verify(token).expect_err(name);
        assert_eq!(fault.reason(), ErrorReason::Unauthenticated, "{name}");
    }
}

#[test]
fn a_token_of_a_key_proves_its_tenant_and_its_key() {
    let fixture = Fixture::new();
    for token in [
        fixture.token(Role::Agent, "leads.read leads.delete").expect("a token"),
        fixture.by_tenant(Some(TYPE), &fixture.claims()),
    ] {
        let Ok(Caller::Tenant(tenant)) = fixture.verifier.verify(&token) else {
            panic!("no tenant")
        };
        assert_eq!(
            (tenant.id(), tenant.api_key()),
            (fixture.holder.id(), fixture.holder.api_key())
        );
        assert_eq!((tenant.role(), tenant.kind()), (Role::Agent, CallerKind::ApiKey));
        assert_eq!(
            tenant.user().as_str(),
            format!("api_key:{}", tenant.api_key().expect("a key").key)
        );
        assert_eq!(
            tenant.permissions().names(),
            ["leads.read"],
            "a scope narrows and never widens"
        );
    }
}

#[test]
fn no_token_of_another_kind_is_taken_for_one_and_none_of_its_for_another() {
    let fixture = Fixture::new();
    let lead = Signer::from_pem("lead", &fixture.lead.private_pem).expect("a key");
    let (claims, own) = (fixture.claims(), fixture.signer().key_id());
    let service = json!({
        "iss": "onekeel:tenant", "aud": "onekeel-internal", "exp": get_current_timestamp() + 60, "sub": "tenant",
        "clientId": fixture.holder.id().to_string(), "role": "service",
    });
    assert!(
        fixture
            .verifier
            .verify(&fixture.by_tenant(Some("JWT"), &service))
            .is_ok(),
        "a service's token"
    );
    fixture.refuses(
        "a service's token called a key's",
        &fixture.by_tenant(Some(TYPE), &service),
    );
    for typ in [None, Some("JWT"), Some("at+jwt")] {
        fixture.refuses("a key's token called a user's", &fixture.by_tenant(typ, &claims));
    }
    let mut mixed = claims.clone();
    (mixed["iss"], mixed["aud"], mixed["role"]) =
        (json!("onekeel:tenant"), json!("onekeel-internal"), json!("service"));
    for typ in [Some("JWT"), Some(TYPE)] {
        let taken = fixture.verifier.verify(&fixture.by_tenant(typ, &mixed));
        assert!(!matches!(taken, Ok(Caller::Tenant(_))), "{typ:?}");
    }
    fixture.refuses(
        "by lead's key",
        &Fixture::sign(&fixture.lead, &lead.key_id(), Some(TYPE), &claims),
    );
    fixture.refuses(
        "by lead's key in the name of tenant's",
        &Fixture::sign(&fixture.lead, &own, Some(TYPE), &claims),
    );
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some(TYPE.to_owned());
    let by_provider = encode(&header, &claims, &EncodingKey::from_secret(SECRET)).expect("signs");
    fixture.refuses("by an identity provider", &by_provider);
}

#[test]
fn a_token_that_says_too_much_or_too_little_is_refused() {
    let fixture = Fixture::new();
    let now = get_current_timestamp();
    for (name, value) in [
        ("role", json!("service")),
        ("role", json!("platform_admin")),
        ("role", json!("owner")),
        ("role", json!(null)),
        ("scope", json!(null)),
        ("scope", json!(["leads.read"])),
        ("keyId", json!(null)),
        ("keyId", json!("1")),
        ("secretId", json!(null)),
        ("sub", json!("ann")),
        ("sub", json!(null)),
        ("clientId", json!(null)),
        ("clientId", json!("00000000-0000-0000-0000-000000000000")),
        ("exp", json!(now - 60)),
        ("exp", json!(now + 1000)),
        ("nbf", json!(now + 60)),
        ("iss", json!("onekeel:tenant")),
        ("iss", json!("idp")),
        ("aud", json!("onekeel")),
        ("aud", json!("onekeel-internal")),
    ] {
        let mut claims = fixture.claims();
        claims[name] = value;
        fixture.refuses(&claims.to_string(), &fixture.by_tenant(Some(TYPE), &claims));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "nobody's key is looked up")]
fn a_token_is_given_by_the_tenant_server_for_a_key_that_was_shown() {
    let fixture = Fixture::new();
    for role in [Role::Service, Role::PlatformAdmin, Role::PlatformViewer] {
        fixture.token(role, "").expect_err("no key has such a role");
    }
    let issued = get_current_timestamp();
    let token = |expires| ApiKeyToken {
        role: Role::Viewer,
        scope: "",
        issued,
        expires,
    };
    fixture
        .signer()
        .api_key_token(&fixture.holder, &token(issued + 901))
        .expect_err("for too long");
    let other = Tenant::for_background(fixture.holder.id(), "test");
    fixture
        .signer()
        .api_key_token(&other, &token(issued + 60))
        .expect_err("no key was shown");
    let lead = Signer::from_pem("lead", &fixture.lead.private_pem).expect("a key");
    lead.api_key_token(&fixture.holder, &token(issued + 60))
        .expect_err("another service");
}

#[test]
fn only_public_keys_that_sign_for_api_keys_are_published() {
    let fixture = Fixture::new();
    let published = fixture.verifier.published().expect("a key set");
    let keys = published["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1, "{published}");
    assert_eq!(keys[0]["kid"], json!(fixture.signer().key_id()));
    assert!(
        keys[0].get("d").is_none() && keys[0]["kty"] == json!("OKP"),
        "{published}"
    );
}
