//! The SQL of imports, many rows at a time.
use std::collections::HashSet;

use chrono::{DateTime, Utc};
use onekeel_api::Fault;
use onekeel_gate::write_charge;
use onekeel_store::{DbResult, Event, TenantTx};
use uuid::Uuid;

use crate::fields::Fields;
use crate::lead::NewLead;
use crate::repo::Charges;

/// Joins a row's tags on the way to the database; no field may hold a control character.
const SEPARATOR: &str = "\u{1f}";

/// E-mail addresses and external ids: what makes a row a duplicate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    emails: Vec<String>,
    external_ids: Vec<String>,
}

impl Keys {
    pub fn of(rows: &[&Fields]) -> Self {
        Self {
            emails: rows.iter().filter_map(|row| row.email.clone()).collect(),
            external_ids: rows.iter().filter_map(|row| row.external_id.clone()).collect(),
        }
    }

    pub fn contains(&self, row: &Fields) -> bool {
        row.email.as_ref().is_some_and(|email| self.emails.contains(email))
            || row
                .external_id
                .as_ref()
                .is_some_and(|id| self.external_ids.contains(id))
    }
}

/// Those of `keys` that living leads have.
pub(crate) async fn find_known(tx: &mut TenantTx, keys: &Keys) -> Result<Keys, Fault> {
    let client = tx.client_id();
    let emails = sqlx::query_scalar!(
        r#"select email as "email!" from lead.leads where client_id = $1 and email = any($2) and deleted_at is null"#,
        client,
        &keys.emails
    );
    let emails = emails.fetch_all(tx.conn()).await.db()?;
    let external_ids = sqlx::query_scalar!(
        r#"select external_id as "external_id!" from lead.leads
        where client_id = $1 and external_id = any($2) and deleted_at is null"#,
        client,
        &keys.external_ids
    );
    let external_ids = external_ids.fetch_all(tx.conn()).await.db()?;
    Ok(Keys { emails, external_ids })
}

/// Inserts what does not exist yet, then charges exactly what was written. Returns the ids, and their bytes together.
pub(crate) async fn insert_all(
    tx: &mut TenantTx,
    leads: &[&NewLead],
    [lead, bytes]: Charges,
) -> Result<(HashSet<Uuid>, i64), Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let text = |of: fn(&Fields) -> &String| leads.iter().map(|lead| of(&lead.fields).clone()).collect::<Vec<_>>();
    let optional =
        |of: fn(&Fields) -> &Option<String>| leads.iter().map(|lead| of(&lead.fields).clone()).collect::<Vec<_>>();
    let ids: Vec<Uuid> = leads.iter().map(|lead| lead.id.uuid()).collect();
    let tags: Vec<String> = leads.iter().map(|lead| lead.fields.tags.join(SEPARATOR)).collect();
    let statuses: Vec<i16> = leads.iter().map(|lead| lead.fields.status).collect();
    let sizes: Vec<i64> = leads.iter().map(|lead| lead.fields.size().bytes()).collect();
    let times: Vec<DateTime<Utc>> = leads.iter().map(|lead| lead.created_at).collect();
    let scores: Vec<i32> = leads.iter().map(|lead| lead.fields.score).collect();
    let written = sqlx::query!(
        r#"insert into lead.leads (client_id, id, first_name, last_name, email, phone, phone_raw, company, source,
            status, score, tags, external_id, created_at, updated_at, updated_by, stored_bytes)
        select c.client_id, u.id, u.first_name, u.last_name, u.email, u.phone, u.phone_raw, u.company, u.source,
            u.status, u.score, string_to_array(u.tags, $14), u.external_id, u.at, u.at, $15, u.size
        from tenant.clients c,
            unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                $10::smallint[], $11::integer[], $12::text[], $13::text[], $16::bigint[],
                $17::timestamptz[])
            as u(id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
                size, at)
        where c.client_id = $1
        on conflict do nothing
        returning id, stored_bytes"#,
        client,
        &ids,
        &text(|row| &row.first_name),
        &text(|row| &row.last_name),
        &optional(|row| &row.email) as &[Option<String>],
        &optional(|row| &row.phone) as &[Option<String>],
        &optional(|row| &row.phone_raw) as &[Option<String>],
        &text(|row| &row.company),
        &text(|row| &row.source),
        &statuses,
        &scores,
        &tags,
        &optional(|row| &row.external_id) as &[Option<String>],
        SEPARATOR,
        name,
        &sizes,
        &times
    );
    let written = written.fetch_all(tx.conn()).await.db()?;
    let units = i64::try_from(written.len()).map_err(Fault::internal)?;
    let size = written.iter().map(|row| row.stored_bytes).sum();
    write_charge(tx, lead.first(units)).await?;
    write_charge(tx, bytes.first(size)).await?;
    let ids: Vec<Uuid> = written.into_iter().map(|row| row.id).collect();
    if !ids.is_empty() {
        tx.audit(Event::of_new("lead", &ids));
    }
    Ok((ids.into_iter().collect(), size))
}

/// Which of these leads exist.
pub(crate) async fn find_written(tx: &mut TenantTx, leads: &[&NewLead]) -> Result<HashSet<Uuid>, Fault> {
    let client = tx.client_id();
    let ids: Vec<Uuid> = leads.iter().map(|lead| lead.id.uuid()).collect();
    let found = sqlx::query_scalar!(
        "select id from lead.leads where client_id = $1 and id = any($2)",
        client,
        &ids
    );
    Ok(found.fetch_all(tx.conn()).await.db()?.into_iter().collect())
}
