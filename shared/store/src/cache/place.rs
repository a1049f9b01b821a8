//! Places that belong to no tenant: up to where those who keep entries true have followed the changes.
use std::time::Duration;

use onekeel_api::Fault;
use prost::Message;

use super::{Cache, away};

impl Cache {
    /// What stands at the place `name` at this moment.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer.
    pub async fn place<T: Message + Default>(&self, name: &str) -> Result<Option<T>, Fault> {
        let Some(inner) = &self.0 else { return Ok(None) };
        // Not from near: nobody would tell in time that it has ended.
        let raw = inner.remote.now_at(&key(name)).await.ok_or_else(away)?;
        Ok(raw.and_then(|raw| T::decode(raw).ok()))
    }

    /// Lets `value` stand there for `ttl`.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer.
    pub async fn set_place<T: Message>(&self, name: &str, value: &T, ttl: Duration) -> Result<(), Fault> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let set = inner.remote.set(&key(name), value.encode_to_vec().into(), ttl).await;
        set.ok_or_else(away)
    }
}

/// No tenant's keys begin so: theirs go on with a brace.
fn key(name: &str) -> String {
    format!("onekeel:{name}")
}
