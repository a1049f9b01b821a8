//! The SQL of the audit trail.
use std::fmt::Write;

use chrono::{DateTime, Utc};
use onekeel_api::tenant::AuditEvent;
use onekeel_api::{Fault, Page, timestamp};
use onekeel_store::{DbResult, Single, TenantTx};
use uuid::Uuid;

use super::filter::Filter;

/// A row of `audit.events`.
#[derive(Clone, Debug)]
pub(super) struct EventRow {
    created_at: DateTime<Utc>,
    id: Uuid,
    caller_kind: i16,
    caller: String,
    role: String,
    method: String,
    resource_type: Option<String>,
    resource_id: Option<String>,
    resources: i32,
    before_digest: Option<Vec<u8>>,
    after_digest: Option<Vec<u8>>,
    trace_id: Option<Uuid>,
    source: Option<String>,
    reason: Option<String>,
    /// Whether the event belongs to the page; one that does not says where the search ended.
    pub shown: bool,
}

impl EventRow {
    /// Where the event stands in the trail, in a page token.
    pub fn position(&self) -> Vec<u8> {
        let time = self.created_at.timestamp_micros().to_be_bytes();
        time.into_iter().chain(self.id.into_bytes()).collect()
    }
}

impl From<EventRow> for AuditEvent {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(timestamp(row.created_at)),
            caller_kind: row.caller_kind.into(),
            caller: row.caller,
            role: row.role,
            method: row.method,
            resource_type: row.resource_type.unwrap_or_default(),
            resource_id: row.resource_id.unwrap_or_default(),
            resource_count: row.resources,
            before_digest: hexadecimal(row.before_digest),
            after_digest: hexadecimal(row.after_digest),
            trace_id: row.trace_id.map(|id| id.simple().to_string()).unwrap_or_default(),
            source: row.source.unwrap_or_default(),
            reason: row.reason.unwrap_or_default(),
        }
    }
}

fn hexadecimal(bytes: Option<Vec<u8>>) -> String {
    let mut text = String::new();
    for byte in bytes.unwrap_or_default() {
        write!(text, "{byte:02x}").expect("a text takes what is written");
    }
    text
}

/// The position in a page token, as time and id.
pub(super) fn after(page: &Page) -> Result<Option<(DateTime<Utc>, Uuid)>, Fault> {
    let Some(position) = page.after() else {
        return Ok(None);
    };
    let broken = || Fault::internal("a page token of ours holds no position");
    let (time, id) = position.split_at_checked(8).ok_or_else(broken)?;
    let micros = time.try_into().map(i64::from_be_bytes).map_err(Fault::internal)?;
    let time = DateTime::from_timestamp_micros(micros).ok_or_else(broken)?;
    Ok(Some((time, Uuid::from_slice(id).map_err(Fault::internal)?)))
}

/// A page of events, newest first, in one round trip.
pub(super) async fn list(
    single: &mut Single,
    filter: &Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    rows: i64,
) -> Result<Vec<EventRow>, sqlx::Error> {
    let (client, (after_time, after_id)) = (single.client_id(), after.unzip());
    sqlx::query_as!(
        EventRow,
        r#"select created_at as "created_at!", id as "id!", caller_kind as "caller_kind!", caller as "caller!",
            role as "role!", method as "method!", resource_type, resource_id, resources as "resources!", before_digest,
            after_digest, trace_id, source, reason, shown as "shown!"
        from audit.list_events($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        client,
        filter.created.from,
        filter.created.before,
        filter.resource_id.as_deref(),
        filter.caller.as_deref(),
        filter.method.as_deref(),
        after_time,
        after_id,
        rows
    )
    .fetch_all(single.conn())
    .await
}

/// Deletes some of the events before a time; returns how many.
pub(super) async fn prune(tx: &mut TenantTx, before: DateTime<Utc>, most: i32) -> Result<i64, Fault> {
    let client = tx.client_id();
    sqlx::query_scalar!(r#"select audit.prune($1, $2, $3) as "pruned!""#, client, before, most)
        .fetch_one(tx.conn())
        .await
        .db()
}
