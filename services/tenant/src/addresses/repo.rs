//! The SQL of allowlists.
use onekeel_api::Fault;
use onekeel_store::{DbResult, Event, Single, TenantTx};

use super::allowlist::{AllowlistRow, NewAllowlist};
use crate::repo::lock;

/// The tenant's list, in one round trip.
pub(super) async fn find(single: &mut Single) -> Result<Option<AllowlistRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        AllowlistRow,
        r#"select networks as "networks!", version as "version!", updated_at from tenant.get_allowlist($1)"#,
        client
    )
    .fetch_optional(single.conn())
    .await
}

/// Puts a list in the place of the one that is kept, unless the wish is only to check.
pub(super) async fn set(tx: &mut TenantTx, new: &NewAllowlist) -> Result<AllowlistRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    // The tenant's own row stands for a list that is not there yet: two first changes wait for one another.
    lock(tx).await?.refuse_deleted()?;
    let kept = sqlx::query_as!(
        AllowlistRow,
        r#"select networks, version, updated_at as "updated_at?" from tenant.allowlists where client_id = $1"#,
        client
    );
    let kept = kept.fetch_optional(tx.conn()).await.db()?.unwrap_or_default();
    new.etag.check(kept.version)?;
    let networks = new.networks();
    if new.validate_only {
        return Ok(AllowlistRow { networks, ..kept });
    }
    let written = sqlx::query_as!(
        AllowlistRow,
        r#"insert into tenant.allowlists as kept (client_id, networks, updated_at, updated_by) values ($1, $2, now(), $3)
        on conflict (client_id) do update set networks = excluded.networks, version = kept.version + 1,
            updated_at = excluded.updated_at, updated_by = excluded.updated_by
        returning networks, version, updated_at as "updated_at?""#,
        client,
        &networks,
        name
    );
    let row = written.fetch_one(tx.conn()).await.db()?;
    let event = Event::of("ip_allowlist", client).after(&row.clone().of(client));
    tx.audit(if kept.version > 0 {
        event.before(&kept.of(client))
    } else {
        event
    });
    Ok(row)
}
