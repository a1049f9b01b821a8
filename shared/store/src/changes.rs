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
    /// Which run of the database told it, as [`Store::database_run`] says; whatever is remembered of another may be wrong.
    pub run: i64,
}

struct Row {
    ids: Vec<Uuid>,
    revisions: Vec<i64>,
    next: i64,
    ahead: bool,
}

impl Row {
    fn told_in(self, run: i64) -> Changes {
        Changes {
            complete: !self.ahead && self.ids.len() < MOST_CHANGES,
            tenants: self.ids.into_iter().map(ClientId::from).zip(self.revisions).collect(),
            next: self.next,
            run,
        }
    }
}

impl Store {
    /// What has changed since the cursor of an earlier answer; with 0, only where to begin. The cursor is a transaction's
    /// number, and the same in every replica.
    pub async fn changes(&self, feed: Feed, cursor: i64) -> Result<Changes, Fault> {
        let since = Some(cursor).filter(|cursor| *cursor > 0);
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
        // Before the question: where another run answers it, the next answer is of another one as well.
        let run = self.database_run();
        Ok(self.catalogue("read_changes", read).await?.told_in(run))
    }
}
