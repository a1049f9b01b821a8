//! The SQL of domains.
use onekeel_api::Fault;
use onekeel_store::{DbResult, Event, Single, TenantTx};
use uuid::Uuid;

use super::domain::{DomainRow, NewDomain};
use crate::repo::lock;

const KIND: &str = "domain";
const MOST_DOMAINS: i64 = 20;

/// Another tenant has proved this domain, or the tenant has noted it already.
fn taken() -> Fault {
    Fault::already_exists(KIND).fact("field", "name")
}

/// All domains of the tenant, in one round trip.
pub(super) async fn list(single: &mut Single) -> Result<Vec<DomainRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        DomainRow,
        r#"select id as "id!", name as "name!", token as "token!", verified_at, created_at as "created_at!"
        from tenant.list_domains($1)"#,
        client
    )
    .fetch_all(single.conn())
    .await
}

/// Notes a domain; it occupies nothing yet.
pub(super) async fn insert(tx: &mut TenantTx, new: &NewDomain) -> Result<DomainRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    // Whoever adds another one at the same moment waits here, so that the count is true.
    lock(tx).await?.refuse_deleted()?;
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from tenant.domains where client_id = $1"#,
        client
    );
    if count.fetch_one(tx.conn()).await.db()? >= MOST_DOMAINS {
        return Err(Fault::state_conflict(
            "domains",
            "the tenant has 20 domains already; remove one first",
        ));
    }
    let row = sqlx::query_as!(
        DomainRow,
        "insert into tenant.domains (client_id, id, name, token, created_at, updated_at, updated_by)
        values ($1, $2, $3, $4, now(), now(), $5)
        returning id, name, token, verified_at, created_at",
        client,
        new.id,
        new.name,
        new.token,
        name
    );
    let row = row.fetch_one(tx.conn()).await;
    let row = row.on_constraint(|constraint| constraint.starts_with("domains_name_key").then(taken))?;
    tx.audit(Event::of(KIND, row.id).after(&row.shown()));
    Ok(row)
}

/// Takes a proved domain into service; a repetition changes nothing.
pub(super) async fn confirm(tx: &mut TenantTx, id: Uuid) -> Result<DomainRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    let before = hold(tx, id).await?;
    if before.verified_at.is_some() {
        tx.audit(Event::of(KIND, id).before(&before.shown()).after(&before.shown()));
        return Ok(before);
    }
    let after = sqlx::query_as!(
        DomainRow,
        "update tenant.domains set verified_at = now(), updated_at = now(), updated_by = $3
        where client_id = $1 and id = $2
        returning id, name, token, verified_at, created_at",
        client,
        id,
        name
    );
    let after = after.fetch_one(tx.conn()).await.db()?;
    sqlx::query!("select tenant.claim_host($1, $2)", after.name, client)
        .execute(tx.conn())
        .await
        .on_constraint(|constraint| constraint.starts_with("hosts_pkey").then(taken))?;
    tx.audit(Event::of(KIND, id).before(&before.shown()).after(&after.shown()));
    Ok(after)
}

/// Takes a domain out of service.
pub(super) async fn remove(tx: &mut TenantTx, id: Uuid) -> Result<(), Fault> {
    let client = tx.client_id();
    let row = hold(tx, id).await?;
    sqlx::query!(
        "delete from tenant.domains where client_id = $1 and id = $2",
        client,
        id
    )
    .execute(tx.conn())
    .await
    .db()?;
    sqlx::query!("select tenant.release_host($1, $2)", row.name, client)
        .execute(tx.conn())
        .await
        .db()?;
    tx.audit(Event::of(KIND, id).before(&row.shown()));
    Ok(())
}

/// A domain, locked until the transaction ends.
pub(super) async fn hold(tx: &mut TenantTx, id: Uuid) -> Result<DomainRow, Fault> {
    let client = tx.client_id();
    let row = sqlx::query_as!(
        DomainRow,
        "select id, name, token, verified_at, created_at from tenant.domains where client_id = $1 and id = $2 for update",
        client,
        id
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}
