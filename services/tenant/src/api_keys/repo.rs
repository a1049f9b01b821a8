//! The SQL of keys.
use chrono::{DateTime, TimeDelta, Utc};
use onekeel_api::Fault;
use onekeel_store::{DbResult, Event, Single, TenantTx};
use onekeel_tenancy::Permissions;
use uuid::Uuid;

use super::key::{KeyRow, NewKey, ShownKey};
use super::secret::NewSecret;
use crate::repo::lock;

const KIND: &str = "api_key";
const MOST_KEYS: i64 = 100;
/// Secrets of one key that can be exchanged at the same time.
const MOST_SECRETS: i64 = 3;
/// Secrets of all keys of a tenant that rotations may end within the time for which every server is told of them.
const MOST_ENDED: i64 = 100;

/// All keys of the tenant, in one round trip.
pub(super) async fn list(single: &mut Single) -> Result<Vec<KeyRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        KeyRow,
        r#"select id as "id!", name as "name!", role as "role!", scopes as "scopes!", hint as "hint!",
            created_by as "created_by!", created_at as "created_at!", expires_at, overlap_ends_at, last_used_at, revoked_at
        from tenant.list_api_keys($1)"#,
        client
    )
    .fetch_all(single.conn())
    .await
}

/// What the secret that the transaction's tenant holds is good for, in one round trip.
pub(super) async fn shown(single: &mut Single, secret: Uuid, hash: [u8; 32]) -> Result<Option<ShownKey>, sqlx::Error> {
    let client = single.client_id();
    let found = sqlx::query_as!(
        ShownKey,
        r#"select role as "role!", scopes as "scopes!", until, last_used_at from tenant.get_shown_key($1, $2, $3)"#,
        client,
        secret,
        &hash[..]
    );
    found.fetch_optional(single.conn()).await
}

/// Writes a key with its first secret.
pub(super) async fn insert(
    tx: &mut TenantTx,
    new: &NewKey,
    secret: &NewSecret,
    creator: &str,
) -> Result<KeyRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    // Whoever adds another one at the same moment waits here, so that the count is true.
    lock(tx).await?.refuse_deleted()?;
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from tenant.api_keys where client_id = $1"#,
        client
    );
    if count.fetch_one(tx.conn()).await.db()? >= MOST_KEYS {
        return Err(Fault::state_conflict(
            "api_keys",
            "the tenant has 100 API keys; one that is revoked or has expired makes room after a day",
        ));
    }
    let row = sqlx::query_as!(
        KeyRow,
        "insert into tenant.api_keys
            (client_id, id, name, role, scopes, hint, created_by, created_at, expires_at, updated_at, updated_by)
        values ($1, $2, $3, $4, $5, $6, $7, now(), $8, now(), $9)
        returning id, name, role, scopes, hint, created_by, created_at, expires_at, overlap_ends_at, last_used_at, revoked_at",
        client,
        new.id,
        new.name,
        new.role.name(),
        &new.scopes,
        secret.hint(),
        creator,
        new.expires_at,
        name
    );
    let row = row.fetch_one(tx.conn()).await.on_constraint(|constraint| {
        let taken = || Fault::already_exists(KIND).fact("field", "name");
        constraint.starts_with("api_keys_name_key").then(taken)
    })?;
    add_secret(tx, new.id, secret).await?;
    tx.audit(Event::of(KIND, row.id).after(&row.shown()));
    Ok(row)
}

/// Gives a key another secret; those that it has go on for the overlap at most.
pub(super) async fn rotate(
    tx: &mut TenantTx,
    id: Uuid,
    secret: &NewSecret,
    overlap: TimeDelta,
    caller: Permissions,
) -> Result<KeyRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    lock(tx).await?.refuse_deleted()?;
    let before = hold(tx, id).await?;
    before.refuse_rotation(caller, Utc::now())?;
    refuse_too_many(tx, id, overlap).await?;
    let seconds = overlap.as_seconds_f64();
    sqlx::query!(
        "update tenant.api_key_secrets set ends_at = least(ends_at, now() + make_interval(secs => $3)),
            updated_at = now(), updated_by = $4
        where client_id = $1 and key_id = $2 and (ends_at is null or ends_at > now())",
        client,
        id,
        seconds,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    let after = sqlx::query_as!(
        KeyRow,
        "update tenant.api_keys set hint = $3, overlap_ends_at = now() + make_interval(secs => $4), updated_at = now(),
            updated_by = $5
        where client_id = $1 and id = $2
        returning id, name, role, scopes, hint, created_by, created_at, expires_at, overlap_ends_at, last_used_at, revoked_at",
        client,
        id,
        secret.hint(),
        seconds,
        name
    );
    let after = after.fetch_one(tx.conn()).await.db()?;
    add_secret(tx, id, secret).await?;
    tx.audit(Event::of(KIND, id).before(&before.shown()).after(&after.shown()));
    Ok(after)
}

/// Keeps what can be exchanged, and what every server is told of, within bounds. A rotation that ends all other secrets of
/// its key at once does not add to the first.
async fn refuse_too_many(tx: &mut TenantTx, id: Uuid, overlap: TimeDelta) -> Result<(), Fault> {
    let client = tx.client_id();
    let counts = sqlx::query!(
        r#"select count(*) filter (where key_id = $2 and (ends_at is null or ends_at > now())) as "living!",
            count(*) filter (where ends_at <= now() and ends_at > now() - interval '20 minutes') as "ended!"
        from tenant.api_key_secrets where client_id = $1"#,
        client,
        id
    );
    let counts = counts.fetch_one(tx.conn()).await.db()?;
    if counts.living >= MOST_SECRETS && !overlap.is_zero() {
        let mend = "the key has 3 secrets that go on; wait until one ends, or rotate with an overlap of zero";
        return Err(Fault::state_conflict("secrets", mend));
    }
    if counts.ended >= MOST_ENDED {
        let mend = "100 secrets of the tenant ended within 20 minutes; wait, or revoke the key and create another one";
        return Err(Fault::state_conflict("secrets", mend));
    }
    Ok(())
}

/// Ends a key with all its secrets; a repetition changes nothing.
pub(super) async fn revoke(tx: &mut TenantTx, id: Uuid) -> Result<KeyRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let before = hold(tx, id).await?;
    if before.revoked_at.is_some() {
        tx.audit(Event::of(KIND, id).before(&before.shown()).after(&before.shown()));
        return Ok(before);
    }
    sqlx::query!(
        "update tenant.api_key_secrets set ends_at = now(), updated_at = now(), updated_by = $3
        where client_id = $1 and key_id = $2 and (ends_at is null or ends_at > now())",
        client,
        id,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    let after = sqlx::query_as!(
        KeyRow,
        "update tenant.api_keys set revoked_at = now(), updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2
        returning id, name, role, scopes, hint, created_by, created_at, expires_at, overlap_ends_at, last_used_at, revoked_at",
        client,
        id,
        name
    );
    let after = after.fetch_one(tx.conn()).await.db()?;
    publish(tx, id).await?;
    tx.audit(Event::of(KIND, id).before(&before.shown()).after(&after.shown()));
    Ok(after)
}

/// A key, locked until the transaction ends.
async fn hold(tx: &mut TenantTx, id: Uuid) -> Result<KeyRow, Fault> {
    let client = tx.client_id();
    let row = sqlx::query_as!(
        KeyRow,
        "select id, name, role, scopes, hint, created_by, created_at, expires_at, overlap_ends_at, last_used_at, revoked_at
        from tenant.api_keys where client_id = $1 and id = $2 for update",
        client,
        id
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

async fn add_secret(tx: &mut TenantTx, key: Uuid, secret: &NewSecret) -> Result<(), Fault> {
    let (client, name, hash) = (tx.client_id(), tx.name(), secret.hash());
    sqlx::query!(
        "insert into tenant.api_key_secrets (client_id, id, key_id, hash, created_at, updated_at, updated_by)
        values ($1, $2, $3, $4, now(), now(), $5)",
        client,
        secret.id,
        key,
        &hash[..],
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    publish(tx, key).await
}

/// Brings the directory of secrets in line with a key.
async fn publish(tx: &mut TenantTx, key: Uuid) -> Result<(), Fault> {
    let client = tx.client_id();
    sqlx::query!("select tenant.publish_secrets($1, $2)", client, key)
        .execute(tx.conn())
        .await
        .db()?;
    Ok(())
}

/// Writes when keys were used, each at most once a minute, whichever replica saw it.
pub(super) async fn note_uses(tx: &mut TenantTx, keys: &[Uuid], times: &[DateTime<Utc>]) -> Result<(), Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query!(
        "update tenant.api_keys k set last_used_at = u.used_at, updated_at = now(), updated_by = $4
        from unnest($2::uuid[], $3::timestamptz[]) u (id, used_at)
        where k.client_id = $1 and k.id = u.id
            and (k.last_used_at is null or k.last_used_at < u.used_at - interval '1 minute')",
        client,
        keys,
        times,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    Ok(())
}

/// Deletes keys and secrets that ended long enough ago; says how many rows.
pub(super) async fn prune(tx: &mut TenantTx, most: i64) -> Result<i64, Fault> {
    let client = tx.client_id();
    let pruned = sqlx::query_scalar!(r#"select tenant.prune_api_keys($1, $2) as "pruned!""#, client, most);
    pruned.fetch_one(tx.conn()).await.db()
}
