//! Where background work starts: narrow lists of tenants, and from there one tenant at a time.
use onekeel_api::{ClientId, Fault};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::{DbResult, Store};

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
}

impl Store {
    /// The next `most` tenants of a directory, for the background work `job`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place where background work gets its tenants"
    )]
    pub async fn walk(&self, directory: Directory, most: i32, job: &'static str) -> Result<Vec<Tenant>, Fault> {
        let ids: Vec<Option<Uuid>> = match directory {
            Directory::Limits { after } => {
                let after = after.map_or(Uuid::nil(), ClientId::uuid);
                sqlx::query_scalar!("select quota.list_tenants($1, $2)", after, most)
                    .fetch_all(&self.pool)
                    .await
                    .db()?
            }
            Directory::Unsettled => sqlx::query_scalar!("select tenant.list_unsettled($1)", most)
                .fetch_all(&self.pool)
                .await
                .db()?,
        };
        let tenants = ids.into_iter().flatten();
        Ok(tenants.map(|id| Tenant::for_background(id.into(), job)).collect())
    }
}
