//! The SQL of agents.
use onekeel_api::quota::Resource;
use onekeel_api::{AgentId, Etag, Fault, Page};
use onekeel_gate::{ChargeRow, write_charge, write_release};
use onekeel_store::{DbResult, Single, TenantTx};
use uuid::Uuid;

use super::{AgentRow, Fields, NewAgent};

/// What a broken constraint tells the caller.
fn constraint(name: &str) -> Option<Fault> {
    let retried = name.starts_with("agents_request_id_key");
    retried.then(|| Fault::already_exists("agent").fact("field", "request_id"))
}

/// Writes the agent and its charge in one statement: both exist, or neither.
pub(crate) async fn insert(tx: &mut TenantTx, new: &NewAgent, charge: ChargeRow) -> Result<AgentRow, Fault> {
    let (client, name, fields) = (tx.client_id(), tx.name(), &new.fields);
    sqlx::query_as!(
        AgentRow,
        r#"with row as (
            insert into campaign.agents (client_id, id, name, type, system_prompt, temperature, max_tokens,
                response_delay_ms, retry_attempts, channel_config, request_id, created_at, updated_at, updated_by)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now(), now(), $12)
            returning *
        ), charge as (
            insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
            values ($1, $13, $14, $15, $16, $17)
        )
        select id as "id!", name as "name!", type as "kind!", system_prompt as "system_prompt!",
            temperature as "temperature!", max_tokens as "max_tokens!", response_delay_ms as "response_delay_ms!",
            retry_attempts as "retry_attempts!", channel_config as "channel_config!", version as "version!",
            created_at as "created_at!", updated_at as "updated_at!"
        from row"#,
        client,
        new.id.uuid(),
        fields.name,
        fields.kind,
        fields.system_prompt,
        fields.temperature,
        fields.max_tokens,
        fields.response_delay_ms,
        fields.retry_attempts,
        fields.channel_config,
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

/// The agent that an earlier call with this request id created.
pub(crate) async fn find_by_request(tx: &mut TenantTx, request_id: Uuid) -> Result<Option<AgentRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        AgentRow,
        "select id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at
        from campaign.agents where client_id = $1 and request_id = $2",
        client,
        request_id
    )
    .fetch_optional(tx.conn())
    .await
    .db()
}

/// One living agent, in one round trip.
pub(crate) async fn find(single: &mut Single, id: AgentId) -> Result<Option<AgentRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        AgentRow,
        r#"select id as "id!", name as "name!", type as "kind!", system_prompt as "system_prompt!",
            temperature as "temperature!", max_tokens as "max_tokens!", response_delay_ms as "response_delay_ms!",
            retry_attempts as "retry_attempts!", channel_config as "channel_config!", version as "version!",
            created_at as "created_at!", updated_at as "updated_at!"
        from campaign.get_agent($1, $2)"#,
        client,
        id.uuid()
    )
    .fetch_optional(single.conn())
    .await
}

/// A page of living agents, newest first.
pub(crate) async fn list(tx: &mut TenantTx, page: &Page) -> Result<Vec<AgentRow>, Fault> {
    let (client, before) = (tx.client_id(), page.after_id()?.unwrap_or(Uuid::max()));
    sqlx::query_as!(
        AgentRow,
        "select id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at
        from campaign.agents where client_id = $1 and id < $2 and deleted_at is null
        order by id desc limit $3",
        client,
        before,
        page.rows()
    )
    .fetch_all(tx.conn())
    .await
    .db()
}

/// The living agent, locked until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx, id: AgentId) -> Result<AgentRow, Fault> {
    let client = tx.client_id();
    let row = sqlx::query_as!(
        AgentRow,
        "select id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at
        from campaign.agents where client_id = $1 and id = $2 and deleted_at is null for no key update",
        client,
        id.uuid()
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Writes every field of a locked agent.
pub(crate) async fn update(tx: &mut TenantTx, id: AgentId, fields: &Fields) -> Result<AgentRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query_as!(
        AgentRow,
        "update campaign.agents set name = $3, type = $4, system_prompt = $5, temperature = $6, max_tokens = $7,
            response_delay_ms = $8, retry_attempts = $9, channel_config = $10, version = version + 1,
            updated_at = now(), updated_by = $11
        where client_id = $1 and id = $2 and deleted_at is null
        returning id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at",
        client,
        id.uuid(),
        fields.name,
        fields.kind,
        fields.system_prompt,
        fields.temperature,
        fields.max_tokens,
        fields.response_delay_ms,
        fields.retry_attempts,
        fields.channel_config,
        name
    )
    .fetch_one(tx.conn())
    .await
    .db()
}

/// Deletes the agent for its users, then gives back a unit for exactly what was hit.
pub(crate) async fn delete(tx: &mut TenantTx, id: AgentId, etag: Etag) -> Result<(), Fault> {
    etag.check(lock(tx, id).await?.version)?;
    let (client, name) = (tx.client_id(), tx.name());
    let deleted = sqlx::query!(
        "update campaign.agents set deleted_at = now(), purge_at = now() + interval '30 days', version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is null",
        client,
        id.uuid(),
        name
    );
    let deleted = deleted.execute(tx.conn()).await.db()?.rows_affected();
    write_release(tx, Resource::Agents, deleted).await
}

/// Brings a deleted agent back, then charges its unit.
pub(crate) async fn undelete(tx: &mut TenantTx, id: AgentId, charge: ChargeRow) -> Result<AgentRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        AgentRow,
        "update campaign.agents set deleted_at = null, purge_at = null, version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()
        returning id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at",
        client,
        id.uuid(),
        name
    );
    let Some(row) = row.fetch_optional(tx.conn()).await.db()? else {
        // Living, or not there at all: the lock tells.
        lock(tx, id).await?;
        return Err(Fault::already_exists("agent"));
    };
    write_charge(tx, charge).await?;
    Ok(row)
}
