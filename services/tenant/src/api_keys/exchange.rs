//! From a secret to a token, or to the one answer for every secret that counts for nothing.
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use onekeel_api::tenant::ExchangeApiKeyResponse;
use onekeel_api::{Call, ErrorReason, Fault, timestamp};
use onekeel_gate::Gate;
use onekeel_server::Parts;
use onekeel_store::{Single, Store};
use onekeel_tenancy::{ApiKeyToken, Signer, Tenant};

use super::door::Door;
use super::key::ShownKey;
use super::uses::Uses;
use super::{repo, secret};

/// Gives tokens for secrets.
pub(super) struct Exchange {
    store: Store,
    gate: Gate,
    signer: Arc<Signer>,
    life: TimeDelta,
    door: Door,
    uses: Arc<Uses>,
}

impl Exchange {
    pub fn new(parts: &Parts, uses: Arc<Uses>) -> Self {
        Self {
            store: parts.store.clone(),
            gate: parts.gate.clone(),
            signer: parts.signer.clone(),
            life: TimeDelta::seconds(parts.api_key_token_seconds.into()),
            door: Door::new(),
            uses,
        }
    }

    /// A token for the key whose secret is shown.
    pub async fn give(&self, shown: &str) -> Result<ExchangeApiKeyResponse, Fault> {
        let address = Call::with_current(|call| call.origin().address).flatten();
        let given = self.give_to(shown, address).await;
        let outcome = given.as_ref().err().map_or("given", |fault| fault.reason().name());
        metrics::counter!("onekeel_api_key_exchanges_total", "outcome" => outcome).increment(1);
        given
    }

    async fn give_to(&self, shown: &str, address: Option<IpAddr>) -> Result<ExchangeApiKeyResponse, Fault> {
        let _place = self.door.enter(address)?;
        let Some((holder, key)) = self.look_up(shown).await? else {
            self.door.note_wrong(address);
            return Err(worthless());
        };
        let policy = Call::current_policy().ok_or_else(|| Fault::internal("the method has no policy"))?;
        let admitted = self.gate.admit_key(&holder, &policy).await;
        // This replica may know of the key's end by its gate first.
        admitted.map_err(|fault| match fault.reason() {
            ErrorReason::Unauthenticated => worthless(),
            _ => fault,
        })?;
        let token = self.token(&holder, &key)?;
        self.uses.note(&holder, key.last_used_at);
        Ok(token)
    }

    /// Who holds the secret, and what it is good for; nothing where it is good for nothing.
    async fn look_up(&self, shown: &str) -> Result<Option<(Tenant, ShownKey)>, Fault> {
        let Some(hash) = secret::hash_of(shown) else {
            return Ok(None);
        };
        let Some(holder) = self.store.holder_of(hash).await? else {
            return Ok(None);
        };
        let id = holder.api_key().map(|key| key.secret).unwrap_or_default();
        let look = async |single: &mut Single| repo::shown(single, id, hash).await;
        let key = self.store.one(&holder, "get_shown_key", look).await?;
        Ok(key.map(|key| (holder, key)))
    }

    fn token(&self, holder: &Tenant, key: &ShownKey) -> Result<ExchangeApiKeyResponse, Fault> {
        let (role, permissions) = key.grant()?;
        let now = Utc::now();
        let until = key.until.map_or(now + self.life, |until| until.min(now + self.life));
        let token = ApiKeyToken {
            role,
            scope: &permissions.names().join(" "),
            issued: seconds(now),
            expires: seconds(until),
        };
        Ok(ExchangeApiKeyResponse {
            access_token: self.signer.api_key_token(holder, &token)?,
            token_type: "Bearer".to_owned(),
            expire_time: Some(timestamp(
                DateTime::from_timestamp(until.timestamp(), 0).unwrap_or(until),
            )),
            key_id: holder.api_key().map(|key| key.key.to_string()).unwrap_or_default(),
        })
    }
}

fn seconds(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or_default()
}

/// The one answer to every secret that counts for nothing, whatever is wrong with it.
fn worthless() -> Fault {
    Fault::new(ErrorReason::Unauthenticated, "a valid API key is required")
}
