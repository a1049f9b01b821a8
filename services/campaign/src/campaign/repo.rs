//! The SQL of campaigns.
use onekeel_api::quota::Resource;
use onekeel_api::{CampaignId, Etag, Fault, Page};
use onekeel_gate::{ChargeRow, write_charge, write_release};
use onekeel_store::{DbResult, Single, TenantTx};
use sqlx::types::Json;
use uuid::Uuid;

use super::{CampaignRow, Fields, NewCampaign, Step};

/// What a broken constraint tells the caller.
fn constraint(name: &str) -> Option<Fault> {
    let retried = name.starts_with("campaigns_request_id_key");
    retried.then(|| Fault::already_exists("campaign").fact("field", "request_id"))
}

/// Writes the campaign and its charge in one statement: both exist, or neither.
pub(crate) async fn insert(tx: &mut TenantTx, new: &NewCampaign, charge: ChargeRow) -> Result<CampaignRow, Fault> {
    let (client, name, fields) = (tx.client_id(), tx.name(), &new.fields);
    sqlx::query_as!(
        CampaignRow,
        r#"with row as (
            insert into campaign.campaigns (client_id, id, name, description, type, steps, request_id, created_at,
                updated_at, updated_by)
            values ($1, $2, $3, $4, $5, $6, $7, now(), now(), $8)
            returning *
        ), charge as (
            insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
            values ($1, $9, $10, $11, $12, $13)
        )
        select id as "id!", name as "name!", description as "description!", type as "kind!",
            steps as "steps!: Json<Vec<Step>>", version as "version!", created_at as "created_at!",
            updated_at as "updated_at!"
        from row"#,
        client,
        new.id.uuid(),
        fields.name,
        fields.description,
        fields.kind,
        Json(&fields.steps) as _,
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

/// The campaign that an earlier call with this request id created.
pub(crate) async fn find_by_request(tx: &mut TenantTx, request_id: Uuid) -> Result<Option<CampaignRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        CampaignRow,
        r#"select id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at
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
            updated_at as "updated_at!"
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
        r#"select id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at
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
        r#"select id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at
        from campaign.campaigns where client_id = $1 and id = $2 and deleted_at is null for no key update"#,
        client,
        id.uuid()
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Writes every field of a locked campaign.
pub(crate) async fn update(tx: &mut TenantTx, id: CampaignId, fields: &Fields) -> Result<CampaignRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query_as!(
        CampaignRow,
        r#"update campaign.campaigns set name = $3, description = $4, type = $5, steps = $6, version = version + 1,
            updated_at = now(), updated_by = $7
        where client_id = $1 and id = $2 and deleted_at is null
        returning id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at"#,
        client,
        id.uuid(),
        fields.name,
        fields.description,
        fields.kind,
        Json(&fields.steps) as _,
        name
    )
    .fetch_one(tx.conn())
    .await
    .db()
}

/// Deletes the campaign for its users, then gives back a unit for exactly what was hit.
pub(crate) async fn delete(tx: &mut TenantTx, id: CampaignId, etag: Etag) -> Result<(), Fault> {
    etag.check(lock(tx, id).await?.version)?;
    let (client, name) = (tx.client_id(), tx.name());
    let deleted = sqlx::query!(
        "update campaign.campaigns set deleted_at = now(), purge_at = now() + interval '30 days', version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is null",
        client,
        id.uuid(),
        name
    );
    let deleted = deleted.execute(tx.conn()).await.db()?.rows_affected();
    write_release(tx, Resource::Campaigns, deleted).await
}

/// Brings a deleted campaign back, then charges its unit.
pub(crate) async fn undelete(tx: &mut TenantTx, id: CampaignId, charge: ChargeRow) -> Result<CampaignRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        CampaignRow,
        r#"update campaign.campaigns set deleted_at = null, purge_at = null, version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()
        returning id, name, description, type as kind, steps as "steps: Json<Vec<Step>>", version, created_at, updated_at"#,
        client,
        id.uuid(),
        name
    );
    let Some(row) = row.fetch_optional(tx.conn()).await.db()? else {
        // Living, or not there at all: the lock tells.
        lock(tx, id).await?;
        return Err(Fault::already_exists("campaign"));
    };
    write_charge(tx, charge).await?;
    Ok(row)
}
