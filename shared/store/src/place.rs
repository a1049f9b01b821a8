//! Places in Redis that belong to no tenant but to the database: up to where those who keep entries true have followed its
//! changes. Installations may share a Redis, and each has places of its own.
use std::time::Duration;

use onekeel_api::Fault;
use prost::Message;

use crate::Store;

impl Store {
    /// What stands at the place `name` at this moment.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer.
    pub async fn place<T: Message + Default>(&self, name: &str) -> Result<Option<T>, Fault> {
        let raw = self.cache.raw_place(&self.key_of(name)).await?;
        Ok(raw.and_then(|raw| T::decode(raw).ok()))
    }

    /// Lets `value` stand there for `ttl`.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis did not answer.
    pub async fn set_place<T: Message>(&self, name: &str, value: &T, ttl: Duration) -> Result<(), Fault> {
        let raw = value.encode_to_vec().into();
        self.cache.set_raw_place(&self.key_of(name), raw, ttl).await
    }

    /// No tenant's keys begin so: theirs go on with a brace.
    fn key_of(&self, name: &str) -> String {
        format!("onekeel:{}:{name}", self.database())
    }
}
