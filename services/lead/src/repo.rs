//! The SQL of leads, one at a time.
use onekeel_api::quota::Resource;
use onekeel_api::{Digest, Etag, Fault, LeadId};
use onekeel_gate::{ChargeRow, Resize, Resized, write_charge, write_release};
use onekeel_store::{DbResult, Event, Once, Single, TenantTx};
use uuid::Uuid;

use crate::fields::Fields;
use crate::lead::{CACHED, LeadRow, NewLead};

/// What a broken constraint of `lead.leads` tells the caller.
pub(crate) fn constraint(name: &str) -> Option<Fault> {
    let field = ["email", "external_id", "request_id"];
    let field = field
        .into_iter()
        .find(|field| name.starts_with(&format!("leads_{field}_key")))?;
    Some(Fault::already_exists("lead").fact("field", field))
}

/// What a lead is charged as: itself, and its bytes.
pub(crate) type Charges = [ChargeRow; 2];

/// Writes the lead, its charges and its event in one statement, in one round trip: all exist, or none. The lead is the
/// first, as the others are selected from it; where it is there already, nothing is written.
pub(crate) async fn insert(once: &mut Once, new: &NewLead, [lead, bytes]: Charges) -> Result<bool, sqlx::Error> {
    let (client, name, fields) = (once.client_id(), once.name(), &new.fields);
    let note = once.note(&Event::of("lead", new.id).after(&new.shown()));
    let insert = sqlx::query!(
        r#"with tenant as materialized (
            select $1::uuid as client_id from onekeel.set_tenant($1)
        ), row as (
            insert into lead.leads (client_id, id, first_name, last_name, email, phone, phone_raw, company, source,
                status, score, tags, external_id, request_id, created_at, updated_at, updated_by, stored_bytes)
            select client_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16, $17 from tenant
            on conflict (client_id, id) do nothing
            returning client_id
        ), charge as (
            insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
            select row.client_id, c.* from row,
                (values ($18::uuid, $19::bigint, $20::bigint, $21, $22::bigint), ($23, $24, $17, $25, $26)) as c
        )
        select audit.note(client_id, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39) from row"#,
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
        new.created_at,
        name,
        bytes.units,
        lead.lease_id,
        lead.first_unit,
        lead.units,
        lead.resource.name(),
        lead.of,
        bytes.lease_id,
        bytes.first_unit,
        bytes.resource.name(),
        bytes.of,
        note.id,
        note.caller_kind,
        note.caller,
        note.role,
        note.method,
        note.resource_type,
        note.resource_id,
        note.resources,
        note.before.as_ref().map(Digest::bytes),
        note.after.as_ref().map(Digest::bytes),
        note.trace,
        note.source,
        note.reason
    );
    Ok(insert.execute(once.conn()).await?.rows_affected() > 0)
}

/// The lead that an earlier call with this request id created.
pub(crate) async fn find_by_request(tx: &mut TenantTx, request_id: Uuid) -> Result<Option<LeadRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        LeadRow,
        "select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
            version, created_at, updated_at, stored_bytes
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
            external_id, version as "version!", created_at as "created_at!", updated_at as "updated_at!", stored_bytes as "stored_bytes!"
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
            version, created_at, updated_at, stored_bytes
        from lead.leads where client_id = $1 and id = $2 and deleted_at is null for no key update",
        client,
        id.uuid()
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Writes every field of a locked lead, and what its size has changed by.
pub(crate) async fn update(
    tx: &mut TenantTx,
    old: &LeadRow,
    fields: &Fields,
    bytes: Option<ChargeRow>,
) -> Result<Resized<LeadRow>, Fault> {
    let size = fields.size().bytes();
    let resize = match Resize::between(old.stored_bytes, size, bytes) {
        Ok(resize) => resize,
        Err(lacking) => return Ok(Resized::Grows(lacking)),
    };
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        LeadRow,
        "update lead.leads set first_name = $3, last_name = $4, email = $5, phone = $6, phone_raw = $7, company = $8,
            source = $9, status = $10, score = $11, tags = $12, external_id = $13, version = version + 1,
            updated_at = now(), updated_by = $14, stored_bytes = $15
        where client_id = $1 and id = $2 and deleted_at is null
        returning id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
            version, created_at, updated_at, stored_bytes",
        client,
        old.id,
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
        name,
        size
    );
    let row = row.fetch_one(tx.conn()).await.on_constraint(constraint)?;
    resize.write(tx).await?;
    tx.audit(Event::of("lead", row.id).before(&old.shown()).after(&row.shown()));
    row.changed(tx);
    Ok(Resized::Done(row))
}

/// Several living leads, in no order.
pub(crate) async fn find_all(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<LeadRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        LeadRow,
        "select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
            version, created_at, updated_at, stored_bytes
        from lead.leads where client_id = $1 and id = any($2) and deleted_at is null",
        client,
        ids
    )
    .fetch_all(tx.conn())
    .await
    .db()
}

/// Deletes the lead for its users, then gives back exactly what was hit: its unit and its bytes.
pub(crate) async fn delete(tx: &mut TenantTx, id: LeadId, etag: Etag) -> Result<(), Fault> {
    let old = lock(tx, id).await?;
    etag.check(old.version)?;
    let (client, name) = (tx.client_id(), tx.name());
    let deleted = sqlx::query_scalar!(
        "update lead.leads set deleted_at = now(), purge_at = now() + interval '30 days', version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is null returning stored_bytes",
        client,
        id.uuid(),
        name
    );
    let Some(bytes) = deleted.fetch_optional(tx.conn()).await.db()? else {
        return Ok(());
    };
    tx.audit(Event::of("lead", old.id).before(&old.shown()));
    tx.changed(&CACHED, &old.id.to_string(), old.version.unsigned_abs() + 1, None);
    write_release(tx, &[(Resource::Leads, 1), (Resource::StorageBytes, bytes)]).await
}

/// The size of a deleted lead that can be brought back.
pub(crate) async fn deleted_size(tx: &mut TenantTx, id: LeadId) -> Result<i64, Fault> {
    let client = tx.client_id();
    let size = sqlx::query_scalar!(
        "select stored_bytes from lead.leads
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()",
        client,
        id.uuid()
    );
    match size.fetch_optional(tx.conn()).await.db()? {
        Some(bytes) => Ok(bytes),
        None => Err(not_deleted(tx, id).await),
    }
}

/// Why a lead cannot be brought back: it lives, or is not there at all.
async fn not_deleted(tx: &mut TenantTx, id: LeadId) -> Fault {
    match lock(tx, id).await {
        Ok(_) => Fault::already_exists("lead"),
        Err(fault) => fault,
    }
}

/// Brings a deleted lead back, then charges it. A living lead may have its e-mail address or external id by now.
pub(crate) async fn undelete(tx: &mut TenantTx, id: LeadId, [lead, bytes]: Charges) -> Result<LeadRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        LeadRow,
        "update lead.leads set deleted_at = null, purge_at = null, version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()
        returning id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
            version, created_at, updated_at, stored_bytes",
        client,
        id.uuid(),
        name
    );
    let Some(row) = row.fetch_optional(tx.conn()).await.on_constraint(constraint)? else {
        return Err(not_deleted(tx, id).await);
    };
    write_charge(tx, lead).await?;
    write_charge(tx, bytes.covering(row.stored_bytes)?).await?;
    tx.audit(Event::of("lead", row.id).after(&row.shown()));
    row.changed(tx);
    Ok(row)
}
