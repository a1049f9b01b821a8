//! Which tenants have changed, asked once for all of them by those who remember something of many.
use onekeel_api::{ClientId, Fault};
use uuid::Uuid;

use crate::{Single, Store};

/// With as many, everything may have changed.
const MOST_CHANGES: usize = 1000;

/// What is remembered of tenants elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// What every server must know of a tenant; TenantService's.
    Contexts,
    /// How fast a tenant may call; QuotaService's.
    Rates,
}

/// What has been committed since a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tenants that have changed, each with the number of its changes so far; one may be told more than once.
    pub tenants: Vec<(ClientId, i64)>,
    /// Where to go on.
    pub next: i64,
    /// Whether nothing is left out; otherwise whatever is remembered may be wrong.
    pub complete: bool,
}

struct Row {
    ids: Vec<Uuid>,
    revisions: Vec<i64>,
    next: i64,
    ahead: bool,
}

impl From<Row> for Changes {
    fn from(row: Row) -> Self {
        Self {
            complete: !row.ahead && row.ids.len() < MOST_CHANGES,
            tenants: row.ids.into_iter().map(ClientId::from).zip(row.revisions).collect(),
            next: row.next,
        }
    }
}

impl Store {
    /// What has changed since the cursor of an earlier answer; without one, only where to begin. The cursor is a
    /// transaction's number, and stays true in every replica and through every failover of the database.
    pub async fn changes(&self, feed: Feed, since: Option<i64>) -> Result<Changes, Fault> {
        let most = i32::try_from(MOST_CHANGES).unwrap_or(i32::MAX);
        let read = async |single: &mut Single| match feed {
            Feed::Contexts => {
                sqlx::query_as!(
                    Row,
                    r#"select ids as "ids!", revisions as "revisions!", next as "next!", ahead as "ahead!"
                    from tenant.changes_since($1, $2)"#,
                    since,
                    most
                )
                .fetch_one(single.conn())
                .await
            }
            Feed::Rates => {
                sqlx::query_as!(
                    Row,
                    r#"select ids as "ids!", revisions as "revisions!", next as "next!", ahead as "ahead!"
                    from quota.changes_since($1, $2)"#,
                    since,
                    most
                )
                .fetch_one(single.conn())
                .await
            }
        };
        Ok(self.catalogue("read_changes", read).await?.into())
    }
}
