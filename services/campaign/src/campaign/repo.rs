//! The SQL of campaigns.
use onekeel_api::quota::Resource;
use onekeel_api::{CampaignId, Etag, Fault, Page};
use onekeel_gate::{ChargeRow, Resize, Resized, write_charge, write_release};
use onekeel_store::{DbResult, Event, Single, TenantTx};
use sqlx::types::Json;
use uuid::Uuid;

use super::{CampaignRow, Fields, NewCampaign, Step};

/// What a broken constraint tells the caller.
fn constraint(name: &str) -> Option<Fault> {
    let retried = name.starts_with("campaigns_request_id_key");
    retried.then(|| Fault::already_exists("campaign").fact("field", "request_id"))
}

/// What a campaign is charged as: itself, and its bytes.
pub(crate) type Charges = [ChargeRow; 2];

/// Writes the campaign and its charges in one statement: all exist, or none.
pub(crate) async fn insert(
    tx: &mut TenantTx,
    new: &NewCampaign,
    [campaign, bytes]: Charges,
) -> Result<CampaignRow, Fault> {
    let (client, name, fields) = (tx.client_id(), tx.name(), &new.fields);
    let row = sqlx::query_as!(
        CampaignRow,
        r#"with row as (
            insert into campaign.campaigns (client_id, id, name, description, type, steps, request_id, created_at,
                updated_at, updated_by, stored_bytes)
            values ($1, $2, $3, $4, $5, $6, $7, now(), now(), $8, $15)
            returning *
        ), charge as (
            insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
            values ($1, $9, $10, $11, $12, $13), ($1, $14, $16, $15, $17, $18)
        )
        select id as "id!", name as "name!", description as "description!", type as "kind!",
            steps as "steps!: Json<Vec<Step>>", version as "version!", created_at as "created_at!",
            updated_at as "updated_at!", stored_bytes as "stored_bytes!"
        from row"#,
        client,
        new.id.uuid(),
        fields.name,
        fields.description,
        fields.kind,
        Json(&fields.steps) as _,
        new.request_id,
        name,
        campaign.lease_id,
        campaign.first_unit,
        campaign.units,
        campaign.resource.name(),
        campaign.of,
        bytes.lease_id,
        bytes.units,
        bytes.first_unit,
        bytes.resource.name(),
        bytes.of
    );
    let row = row.fetch_one(tx.conn()).await.on_constraint(constraint)?;
    tx.audit(Event::of("campaign", row.id).after(&row.shown()));
    Ok(row)
}

/// The campaign that an earlier call with this request id created.
pub(crate) async fn find_by_request(tx: &mut TenantTx, request_id: Uuid) -> Result<Option<CampaignRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        CampaignRow,
        r#"select id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at, stored_bytes
        from campaign.campaigns where client_id = $1 and request_id = $2"#,
        client,
        request_id
    )
    .fetch_optional(tx.conn())
    .await
    .db()
}

/// One living campaign, in one round trip.
pub(crate) async fn find(single: &mut Single, id: CampaignId) -> Result<Option<CampaignRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        CampaignRow,
        r#"select id as "id!", name as "name!", description as "description!", type as "kind!",
            steps as "steps!: Json<Vec<Step>>", version as "version!", created_at as "created_at!",
            updated_at as "updated_at!", stored_bytes as "stored_bytes!"
        from campaign.get_campaign($1, $2)"#,
        client,
        id.uuid()
    )
    .fetch_optional(single.conn())
    .await
}

/// A page of living campaigns, newest first.
pub(crate) async fn list(tx: &mut TenantTx, page: &Page) -> Result<Vec<CampaignRow>, Fault> {
    let (client, before) = (tx.client_id(), page.after_id()?.unwrap_or(Uuid::max()));
    sqlx::query_as!(
        CampaignRow,
        r#"select id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at, stored_bytes
        from campaign.campaigns where client_id = $1 and id < $2 and deleted_at is null
        order by id desc limit $3"#,
        client,
        before,
        page.rows()
    )
    .fetch_all(tx.conn())
    .await
    .db()
}

/// The living campaign, locked until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx, id: CampaignId) -> Result<CampaignRow, Fault> {
    let client = tx.client_id();
    let row = sqlx::query_as!(
        CampaignRow,
        r#"select id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at, stored_bytes
        from campaign.campaigns where client_id = $1 and id = $2 and deleted_at is null for no key update"#,
        client,
        id.uuid()
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Writes every field of a locked campaign, and what its size has changed by.
pub(crate) async fn update(
    tx: &mut TenantTx,
    old: &CampaignRow,
    fields: &Fields,
    bytes: Option<ChargeRow>,
) -> Result<Resized<CampaignRow>, Fault> {
    let size = fields.size().bytes();
    let resize = match Resize::between(old.stored_bytes, size, bytes) {
        Ok(resize) => resize,
        Err(lacking) => return Ok(Resized::Grows(lacking)),
    };
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        CampaignRow,
        r#"update campaign.campaigns set name = $3, description = $4, type = $5, steps = $6, version = version + 1,
            updated_at = now(), updated_by = $7, stored_bytes = $8
        where client_id = $1 and id = $2 and deleted_at is null
        returning id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at, stored_bytes"#,
        client,
        old.id,
        fields.name,
        fields.description,
        fields.kind,
        Json(&fields.steps) as _,
        name,
        size
    );
    let row = row.fetch_one(tx.conn()).await.db()?;
    resize.write(tx).await?;
    tx.audit(Event::of("campaign", row.id).before(&old.shown()).after(&row.shown()));
    Ok(Resized::Done(row))
}

/// Deletes the campaign for its users, then gives back exactly what was hit: its unit and its bytes.
pub(crate) async fn delete(tx: &mut TenantTx, id: CampaignId, etag: Etag) -> Result<(), Fault> {
    let old = lock(tx, id).await?;
    etag.check(old.version)?;
    let (client, name) = (tx.client_id(), tx.name());
    let deleted = sqlx::query_scalar!(
        "update campaign.campaigns set deleted_at = now(), purge_at = now() + interval '30 days', version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is null returning stored_bytes",
        client,
        id.uuid(),
        name
    );
    let Some(bytes) = deleted.fetch_optional(tx.conn()).await.db()? else {
        return Ok(());
    };
    tx.audit(Event::of("campaign", old.id).before(&old.shown()));
    write_release(tx, &[(Resource::Campaigns, 1), (Resource::StorageBytes, bytes)]).await
}

/// The size of a deleted campaign that can be brought back.
pub(crate) async fn deleted_size(tx: &mut TenantTx, id: CampaignId) -> Result<i64, Fault> {
    let client = tx.client_id();
    let size = sqlx::query_scalar!(
        "select stored_bytes from campaign.campaigns
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()",
        client,
        id.uuid()
    );
    match size.fetch_optional(tx.conn()).await.db()? {
        Some(bytes) => Ok(bytes),
        None => Err(not_deleted(tx, id).await),
    }
}

/// Why a campaign cannot be brought back: it lives, or is not there at all.
async fn not_deleted(tx: &mut TenantTx, id: CampaignId) -> Fault {
    match lock(tx, id).await {
        Ok(_) => Fault::already_exists("campaign"),
        Err(fault) => fault,
    }
}

/// Brings a deleted campaign back, then charges it.
pub(crate) async fn undelete(
    tx: &mut TenantTx,
    id: CampaignId,
    [campaign, bytes]: Charges,
) -> Result<CampaignRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        CampaignRow,
        r#"update campaign.campaigns set deleted_at = null, purge_at = null, version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()
        returning id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at, stored_bytes"#,
        client,
        id.uuid(),
        name
    );
    let Some(row) = row.fetch_optional(tx.conn()).await.db()? else {
        return Err(not_deleted(tx, id).await);
    };
    write_charge(tx, campaign).await?;
    write_charge(tx, bytes.covering(row.stored_bytes)?).await?;
    tx.audit(Event::of("campaign", row.id).after(&row.shown()));
    Ok(row)
}
