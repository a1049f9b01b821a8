//! The SQL of agents.
use onekeel_api::quota::Resource;
use onekeel_api::{AgentId, Etag, Fault, Page};
use onekeel_gate::{ChargeRow, Resize, Resized, write_charge, write_release};
use onekeel_store::{DbResult, Event, Single, TenantTx};
use uuid::Uuid;

use super::{AgentRow, Fields, NewAgent};

/// What a broken constraint tells the caller.
fn constraint(name: &str) -> Option<Fault> {
    let retried = name.starts_with("agents_request_id_key");
    retried.then(|| Fault::already_exists("agent").fact("field", "request_id"))
}

/// What an agent is charged as: itself, and its bytes.
pub(crate) type Charges = [ChargeRow; 2];

/// Writes the agent and its charges in one statement: all exist, or none.
pub(crate) async fn insert(tx: &mut TenantTx, new: &NewAgent, [agent, bytes]: Charges) -> Result<AgentRow, Fault> {
    let (client, name, fields) = (tx.client_id(), tx.name(), &new.fields);
    let row = sqlx::query_as!(
        AgentRow,
        r#"with row as (
            insert into campaign.agents (client_id, id, name, type, system_prompt, temperature, max_tokens,
                response_delay_ms, retry_attempts, channel_config, request_id, created_at, updated_at, updated_by, stored_bytes)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now(), now(), $12, $19)
            returning *
        ), charge as (
            insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
            values ($1, $13, $14, $15, $16, $17), ($1, $18, $20, $19, $21, $22)
        )
        select id as "id!", name as "name!", type as "kind!", system_prompt as "system_prompt!",
            temperature as "temperature!", max_tokens as "max_tokens!", response_delay_ms as "response_delay_ms!",
            retry_attempts as "retry_attempts!", channel_config as "channel_config!", version as "version!",
            created_at as "created_at!", updated_at as "updated_at!", stored_bytes as "stored_bytes!"
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
        agent.lease_id,
        agent.first_unit,
        agent.units,
        agent.resource.name(),
        agent.of,
        bytes.lease_id,
        bytes.units,
        bytes.first_unit,
        bytes.resource.name(),
        bytes.of
    );
    let row = row.fetch_one(tx.conn()).await.on_constraint(constraint)?;
    tx.audit(Event::of("agent", row.id).after(&row.shown()));
    Ok(row)
}

/// The agent that an earlier call with this request id created.
pub(crate) async fn find_by_request(tx: &mut TenantTx, request_id: Uuid) -> Result<Option<AgentRow>, Fault> {
    let client = tx.client_id();
    sqlx::query_as!(
        AgentRow,
        "select id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at, stored_bytes
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
            created_at as "created_at!", updated_at as "updated_at!", stored_bytes as "stored_bytes!"
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
            channel_config, version, created_at, updated_at, stored_bytes
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
            channel_config, version, created_at, updated_at, stored_bytes
        from campaign.agents where client_id = $1 and id = $2 and deleted_at is null for no key update",
        client,
        id.uuid()
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Writes every field of a locked agent, and what its size has changed by.
pub(crate) async fn update(
    tx: &mut TenantTx,
    old: &AgentRow,
    fields: &Fields,
    bytes: Option<ChargeRow>,
) -> Result<Resized<AgentRow>, Fault> {
    let size = fields.size().bytes();
    let resize = match Resize::between(old.stored_bytes, size, bytes) {
        Ok(resize) => resize,
        Err(lacking) => return Ok(Resized::Grows(lacking)),
    };
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        AgentRow,
        "update campaign.agents set name = $3, type = $4, system_prompt = $5, temperature = $6, max_tokens = $7,
            response_delay_ms = $8, retry_attempts = $9, channel_config = $10, version = version + 1,
            updated_at = now(), updated_by = $11, stored_bytes = $12
        where client_id = $1 and id = $2 and deleted_at is null
        returning id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at, stored_bytes",
        client,
        old.id,
        fields.name,
        fields.kind,
        fields.system_prompt,
        fields.temperature,
        fields.max_tokens,
        fields.response_delay_ms,
        fields.retry_attempts,
        fields.channel_config,
        name,
        size
    );
    let row = row.fetch_one(tx.conn()).await.db()?;
    resize.write(tx).await?;
    tx.audit(Event::of("agent", row.id).before(&old.shown()).after(&row.shown()));
    Ok(Resized::Done(row))
}

/// Deletes the agent for its users, then gives back exactly what was hit: its unit and its bytes.
pub(crate) async fn delete(tx: &mut TenantTx, id: AgentId, etag: Etag) -> Result<(), Fault> {
    let old = lock(tx, id).await?;
    etag.check(old.version)?;
    let (client, name) = (tx.client_id(), tx.name());
    let deleted = sqlx::query_scalar!(
        "update campaign.agents set deleted_at = now(), purge_at = now() + interval '30 days', version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is null returning stored_bytes",
        client,
        id.uuid(),
        name
    );
    let Some(bytes) = deleted.fetch_optional(tx.conn()).await.db()? else {
        return Ok(());
    };
    tx.audit(Event::of("agent", old.id).before(&old.shown()));
    write_release(tx, &[(Resource::Agents, 1), (Resource::StorageBytes, bytes)]).await
}

/// The size of a deleted agent that can be brought back.
pub(crate) async fn deleted_size(tx: &mut TenantTx, id: AgentId) -> Result<i64, Fault> {
    let client = tx.client_id();
    let size = sqlx::query_scalar!(
        "select stored_bytes from campaign.agents
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()",
        client,
        id.uuid()
    );
    match size.fetch_optional(tx.conn()).await.db()? {
        Some(bytes) => Ok(bytes),
        None => Err(not_deleted(tx, id).await),
    }
}

/// Why an agent cannot be brought back: it lives, or is not there at all.
async fn not_deleted(tx: &mut TenantTx, id: AgentId) -> Fault {
    match lock(tx, id).await {
        Ok(_) => Fault::already_exists("agent"),
        Err(fault) => fault,
    }
}

/// Brings a deleted agent back, then charges it.
pub(crate) async fn undelete(tx: &mut TenantTx, id: AgentId, [agent, bytes]: Charges) -> Result<AgentRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let row = sqlx::query_as!(
        AgentRow,
        "update campaign.agents set deleted_at = null, purge_at = null, version = version + 1,
            updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2 and deleted_at is not null and purge_at > now()
        returning id, name, type as kind, system_prompt, temperature, max_tokens, response_delay_ms, retry_attempts,
            channel_config, version, created_at, updated_at, stored_bytes",
        client,
        id.uuid(),
        name
    );
    let Some(row) = row.fetch_optional(tx.conn()).await.db()? else {
        return Err(not_deleted(tx, id).await);
    };
    write_charge(tx, agent).await?;
    write_charge(tx, bytes.covering(row.stored_bytes)?).await?;
    tx.audit(Event::of("agent", row.id).after(&row.shown()));
    Ok(row)
}
