//! Where background work starts: narrow lists of tenants, and from there one tenant at a time.
use onekeel_api::{ClientId, Fault};
use onekeel_tenancy::{ApiKeyId, Tenant};
use uuid::Uuid;

use crate::{Single, Store};

/// A list of tenants that a service may walk through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Tenants that have limits, in order of their ids, after this one.
    Limits {
        /// The last one of the page before.
        after: Option<ClientId>,
    },
    /// Tenants whose plan is on its way for too long, oldest first.
    Unsettled,
    /// All tenants, in order of their ids, after this one.
    All {
        /// The last one of the page before.
        after: Option<ClientId>,
    },
    /// As [`Directory::All`], and before them the platform itself, which has an audit trail as well.
    Trails {
        /// The last one of the page before.
        after: Option<ClientId>,
    },
}

impl Store {
    /// The next `most` tenants of a directory, for the background work `job`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place where background work gets its tenants"
    )]
    pub async fn walk(&self, directory: Directory, most: i32, job: &'static str) -> Result<Vec<Tenant>, Fault> {
        let list = async |single: &mut Single| match directory {
            Directory::Limits { after } => {
                let after = after.map_or(Uuid::nil(), ClientId::uuid);
                sqlx::query_scalar!("select quota.list_tenants($1, $2)", after, most)
                    .fetch_all(single.conn())
                    .await
            }
            Directory::Unsettled => {
                sqlx::query_scalar!("select tenant.list_unsettled($1)", most)
                    .fetch_all(single.conn())
                    .await
            }
            Directory::Trails { after: None } => Ok(vec![Some(ClientId::PLATFORM.uuid())]),
            Directory::All { after } | Directory::Trails { after } => {
                let after = after.map_or(Uuid::nil(), ClientId::uuid);
                sqlx::query_scalar!("select tenant.list_directory($1, $2)", after, most)
                    .fetch_all(single.conn())
                    .await
            }
        };
        let ids = self.catalogue("list_tenants", list).await?;
        let tenants = ids.into_iter().flatten();
        Ok(tenants.map(|id| Tenant::for_background(id.into(), job)).collect())
    }

    /// The tenant of whoever shows the secret with this SHA-256, if any key of the platform has it; to look there whether it
    /// still counts. It may call nothing yet.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place where a shown secret leads to a tenant"
    )]
    pub async fn holder_of(&self, hash: [u8; 32]) -> Result<Option<Tenant>, Fault> {
        let find = async |single: &mut Single| {
            let found = sqlx::query!(
                r#"select id as "id!", key_id as "key!", secret_id as "secret!" from tenant.find_secret($1)"#,
                &hash[..]
            );
            found.fetch_optional(single.conn()).await
        };
        let found = self.catalogue("find_secret", find).await?;
        Ok(found.map(|found| {
            let (key, secret) = (found.key, found.secret);
            Tenant::for_shown_key(found.id.into(), ApiKeyId { key, secret })
        }))
    }
}
