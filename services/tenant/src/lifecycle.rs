//! The states of a tenant, and its deletion.
use onekeel_api::{Etag, Fault};
use onekeel_store::{DbResult, TenantTx};

use crate::repo::{lock, note_change};

/// Moves a tenant between the states that an operator may choose; a repetition changes nothing.
pub(crate) async fn set_state(tx: &mut TenantTx, state: &str) -> Result<(), Fault> {
    let row = lock(tx).await?;
    row.refuse_deleted()?;
    if row.state == state {
        return note_change(tx, &row).await;
    }
    if row.state == "provisioning" {
        return Err(Fault::state_conflict(
            "state",
            "the tenant is still being set up; try again",
        ));
    }
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query!(
        "update tenant.clients set state = $2, version = version + 1, updated_at = now(), updated_by = $3
        where client_id = $1",
        client,
        state,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    note_change(tx, &row).await
}

/// Deletes a tenant for its users; a repetition changes nothing. Its state stays for the day when it comes back; domains that
/// it has proved are free for others.
pub(crate) async fn delete(tx: &mut TenantTx, etag: Etag) -> Result<(), Fault> {
    let row = lock(tx).await?;
    if row.deleted_at.is_some() {
        return note_change(tx, &row).await;
    }
    etag.check(row.version)?;
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query!(
        "update tenant.clients set deleted_at = now(), purge_at = now() + interval '30 days', version = version + 1,
            updated_at = now(), updated_by = $2
        where client_id = $1",
        client,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    sqlx::query!("select tenant.release_hosts($1)", client)
        .execute(tx.conn())
        .await
        .db()?;
    note_change(tx, &row).await
}

/// Brings a deleted tenant back.
pub(crate) async fn undelete(tx: &mut TenantTx) -> Result<(), Fault> {
    let row = lock(tx).await?;
    if row.deleted_at.is_none() {
        return Err(Fault::already_exists("tenant"));
    }
    let (client, name) = (tx.client_id(), tx.name());
    let undeleted = sqlx::query!(
        "update tenant.clients set deleted_at = null, purge_at = null, version = version + 1,
            updated_at = now(), updated_by = $2
        where client_id = $1 and purge_at > now()",
        client,
        name
    );
    if undeleted.execute(tx.conn()).await.db()?.rows_affected() == 0 {
        return Err(Fault::not_found());
    }
    sqlx::query!("select tenant.reclaim_hosts($1)", client)
        .execute(tx.conn())
        .await
        .db()?;
    note_change(tx, &row).await
}
