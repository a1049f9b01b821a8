//! The table of bad tokens: each is good but for one thing, and refused for that.
mod api_key;
mod claims;
mod form;
mod header;
mod service;

use onekeel_api::ClientId;
use onekeel_operator::stack::{AUDIENCE, ISSUER};
use serde_json::{Value, json};

use crate::forge::{Key, now};

/// A bad token.
pub struct Row {
    pub name: String,
    /// Why it is refused, as our metric says.
    pub why: &'static str,
    pub token: Vec<u8>,
}

/// What tokens are made of.
pub struct Material {
    pub client: ClientId,
    /// HS256, without a name; signs for operators as well.
    pub secret: Key,
    /// Of the key set, by the names `rsa`, `rsa-2`, `ec` and `ed`.
    pub rsa: Key,
    pub rsa_2: Key,
    pub ec: Key,
    pub ed: Key,
    /// The lead server's own key and its name.
    pub lead: (Key, String),
    /// The tenant server's own key and its name.
    pub tenant: (Key, String),
    /// The name of the quota server's key.
    pub quota_id: String,
    /// A key that nobody knows.
    pub stranger: Key,
}

impl Material {
    /// The claims of a good token.
    pub fn claims(&self) -> Value {
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "exp": now() + 600, "iat": now(), "userId": "ann",
            "clientId": self.client.to_string(), "role": "agent",
        })
    }

    pub fn with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    pub fn without(&self, name: &str) -> Value {
        let mut claims = self.claims();
        if let Some(claims) = claims.as_object_mut() {
            claims.remove(name);
        }
        claims
    }

    /// Good ones of every key, to show that the bad ones lack nothing else.
    pub fn good(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let keys = [
            ("rsa", &self.rsa),
            ("rsa-2", &self.rsa_2),
            ("ec", &self.ec),
            ("ed", &self.ed),
        ];
        let mut good = vec![("secret", self.secret.token(self.secret.header(None), self.claims())?)];
        for (kid, key) in keys {
            good.push((kid, key.token(key.header(Some(kid)), self.claims())?));
        }
        let of_api_key = api_key::signed(&self.tenant.0, Some(&self.tenant.1), &api_key::claims(self))?;
        good.push(("tenant, for an API key", of_api_key));
        Ok(good)
    }

    /// A token whose signature is not that of its text, of the dearest algorithm to verify.
    pub fn badly_signed(&self) -> anyhow::Result<String> {
        self.rsa_2.token(self.rsa.header(Some("rsa")), self.claims())
    }

    pub fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = Rows::default();
        form::add(self, &mut rows)?;
        header::add(self, &mut rows)?;
        claims::add(self, &mut rows)?;
        service::add(self, &mut rows)?;
        api_key::add(self, &mut rows)?;
        Ok(rows.0)
    }
}

#[derive(Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    pub fn add(&mut self, why: &'static str, name: impl Into<String>, token: impl Into<Vec<u8>>) {
        self.0.push(Row {
            name: name.into(),
            why,
            token: token.into(),
        });
    }
}
