//! The SQL of leads, one at a time.
use onekeel_api::{Fault, LeadId};
use onekeel_gate::ChargeRow;
use onekeel_store::{DbResult, Single, TenantTx};
use uuid::Uuid;

use crate::fields::Fields;
use crate::lead::{LeadRow, NewLead, etag_mismatch};

/// What a broken constraint of `lead.leads` tells the caller.
pub(crate) fn constraint(name: &str) -> Option<Fault> {
    let field = ["email", "external_id", "request_id"];
    let field = field
        .into_iter()
        .find(|field| name.starts_with(&format!("leads_{field}_key")))?;
    Some(Fault::already_exists("lead").fact("field", field))
}

/// Writes the lead and its charge in one statement: both exist, or neither.
pub(crate) async fn insert(tx: &mut TenantTx, new: &NewLead, charge: ChargeRow) -> Result<LeadRow, Fault> {
    let (client, name, fields) = (tx.client_id(), tx.name(), &new.fields);
    sqlx::query_as!(
        LeadRow,
        r#"with row as (
            insert into lead.leads (client_id, id, first_name, last_name, email, phone, phone_raw, company, source,
                status, score, tags, external_id, request_id, created_at, updated_at, updated_by)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now(), now(), $15)
            returning *
        ), charge as (
            insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
            values ($1, $16, $17, $18, $19, $20)
        )
        select id as "id!", first_name as "first_name!", last_name as "last_name!", email, phone, phone_raw,
            company as "company!", source as "source!", status as "status!", score as "score!", tags as "tags!",
            external_id, version as "version!", created_at as "created_at!", updated_at as "updated_at!"
        from row"#,
        client,
        new.id.uuid(),
        fields.first_name,
        fields.last_name,
        fields.email,
        fields.phone,
        fields.phone_raw,
        fields.company,
        fields.source,
        fields.status,
        fields.score,
        &fields.tags,
        fields.external_id,
        new.request_id,
        name,
        charge.lease_id,
        charge.first_unit,
        charge.units,
        charge.resource.name(),
        charge.of
    )
    .fetch_one(tx.conn())
    .await
    .on_constraint(constraint)
}

/// The lead that an earlier call with this request id created.
pub(crate) async fn find_by_request(tx: &mut TenantTx, request_id: Uuid) -> Result<Option<LeadRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        LeadRow,
        "select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
            version, created_at, updated_at
        from lead.leads where client_id = $1 and request_id = $2",
        client,
        request_id
    )
    .fetch_optional(tx.conn())
    .await
    .db()
}

/// One living lead, in one round trip.
pub(crate) async fn find(single: &mut Single, id: LeadId) -> Result<Option<LeadRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        LeadRow,
        r#"select id as "id!", first_name as "first_name!", last_name as "last_name!", email, phone, phone_raw,
            company as "company!", source as "source!", status as "status!", score as "score!", tags as "tags!",
            external_id, version as "version!", created_at as "created_at!", updated_at as "updated_at!"
        from lead.get_lead($1, $2)"#,
        client,
        id.uuid()
    )
    .fetch_optional(single.conn())
    .await
}

/// How many leads live.
pub(crate) async fn count(single: &mut Single) -> Result<i64, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_scalar!(r#"select lead.count_leads($1) as "count!""#, client)
        .fetch_one(single.conn())
        .await
}

/// The living lead, locked until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx, id: LeadId) -> Result<LeadRow, Fault> {
    let client = tx.client_id();
    let row = sqlx::query_as!(
        LeadRow,
        "select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
            version, created_at, updated_at
        from lead.leads where client_id = $1 and id = $2 and deleted_at is null for no key update",
        client,
        id.uuid()
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Writes every field of a locked lead.
pub(crate) async fn update(tx: &mut TenantTx, id: LeadId, fields: &Fields) -> Result<LeadRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query_as!(
        LeadRow,
        "update lead.leads set first_name = $3, last_name = $4, email = $5, phone = $6, phone_raw = $7, company = $8,
            source = $9, status = $10, score = $11, tags = $12, external_id = $13, version = version + 1,
            updated_at = now(), updated_by = $14
        where client_id = $1 and id = $2 and deleted_at is null
        returning id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
            version, created_at, updated_at",
        client,
        id.uuid(),
        fields.first_name,
        fields.last_name,
        fields.email,
        fields.phone,
        fields.phone_raw,
        fields.company,
        fields.source,
        fields.status,
        fields.score,
        &fields.tags,
        fields.external_id,
        name
    )
    .fetch_one(tx.conn())
    .await
    .on_constraint(constraint)
}

/// Deletes the lead for its users and gives its unit back: first the row, then a release for exactly what was hit.
pub(crate) async fn delete(tx: &mut TenantTx, id: LeadId, version: Option<i64>) -> Result<(), Fault> {
    let row = lock(tx, id).await?;
    if version.is_some_and(|version| version != row.version) {
        return Err(etag_mismatch());
    }
    let (client, name) = (tx.client_id(), tx.name());
    let deleted = sqlx::query!(
        "update lead.leads set deleted_at = now(), purge_at = now() + interval '30 days', version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is null",
        client,
        id.uuid(),
        name
    );
    let deleted = deleted.execute(tx.conn()).await.db()?.rows_affected();
    let units = i64::try_from(deleted).map_err(Fault::internal)?;
    sqlx::query!(
        "insert into quota.releases (client_id, id, resource, units) values ($1, $2, 'leads', $3)",
        client,
        Uuid::now_v7(),
        units
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}
