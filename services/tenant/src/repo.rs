//! The SQL of tenants.
use onekeel_api::tenant::Tenant;
use onekeel_api::{ClientId, Fault, Update, Violations};
use onekeel_store::{DbResult, Event, Single, TenantTx};
use uuid::Uuid;

use crate::tenant::{NewTenant, TenantRow, check_name};

/// What a tenant is called in its own audit trail.
const KIND: &str = "tenant";

/// What a creation came to.
pub(crate) enum Created {
    Now,
    /// The same request id has created this tenant before.
    Before(ClientId),
}

/// Claims the request id and the slug, and writes the tenant with its plan on the way.
pub(crate) async fn insert(tx: &mut TenantTx, new: &NewTenant) -> Result<Created, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    if let Some(request_id) = new.request_id {
        let claimed = sqlx::query_scalar!(r#"select tenant.claim_creation($1, $2) as "id!""#, request_id, client);
        let first = claimed.fetch_one(tx.conn()).await.db()?;
        if first != client {
            return Ok(Created::Before(first.into()));
        }
    }
    sqlx::query!("select tenant.claim_slug($1, $2)", new.slug, client)
        .execute(tx.conn())
        .await
        .on_constraint(|constraint| {
            let taken = || Fault::already_exists("tenant").fact("field", "slug");
            constraint.starts_with("slugs_pkey").then(taken)
        })?;
    sqlx::query!(
        "insert into tenant.clients
            (client_id, display_name, slug, state, pending_plan, created_at, updated_at, updated_by)
        values ($1, $2, $3, 'provisioning', $4, now(), now(), $5)",
        client,
        new.display_name,
        new.slug,
        new.plan,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    note_unsettled(tx).await?;
    let created = lock(tx).await?;
    tx.audit(Event::of(KIND, client).after(&created.shown()));
    Ok(Created::Now)
}

/// The tenant's own row, in one round trip.
pub(crate) async fn find(single: &mut Single) -> Result<Option<TenantRow>, sqlx::Error> {
    let client = single.client_id();
    let row = sqlx::query_as!(
        TenantRow,
        r#"select client_id as "client_id!", display_name as "display_name!", slug as "slug!", state as "state!", plan,
            pending_plan, pending_overage as "pending_overage!", version as "version!", created_at as "created_at!",
            updated_at as "updated_at!", deleted_at, purge_at
        from tenant.get_client($1)"#,
        client
    );
    row.fetch_optional(single.conn()).await
}

/// A page of tenants, oldest first, read one by one in one round trip.
pub(crate) async fn list(
    single: &mut Single,
    after: Uuid,
    rows: i32,
    show_deleted: bool,
) -> Result<Vec<TenantRow>, sqlx::Error> {
    let page = sqlx::query_as!(
        TenantRow,
        r#"select client_id as "client_id!", display_name as "display_name!", slug as "slug!", state as "state!", plan,
            pending_plan, pending_overage as "pending_overage!", version as "version!", created_at as "created_at!",
            updated_at as "updated_at!", deleted_at, purge_at
        from tenant.list_clients($1, $2, $3)"#,
        after,
        rows,
        show_deleted
    );
    page.fetch_all(single.conn()).await
}

/// The tenant that has this slug.
pub(crate) async fn find_slug(single: &mut Single, slug: &str) -> Result<Option<Uuid>, sqlx::Error> {
    let id = sqlx::query_scalar!("select tenant.find_slug($1)", slug);
    id.fetch_one(single.conn()).await
}

/// The tenant that has proved this host.
pub(crate) async fn find_host(single: &mut Single, host: &str) -> Result<Option<Uuid>, sqlx::Error> {
    let id = sqlx::query_scalar!("select tenant.find_host($1)", host);
    id.fetch_one(single.conn()).await
}

/// Lays the named fields over the tenant, checks them and writes them.
pub(crate) async fn change(tx: &mut TenantTx, update: Update<Tenant>) -> Result<(), Fault> {
    let row = lock(tx).await?;
    row.refuse_deleted()?;
    update.etag.check(row.version)?;
    let mut wrong = Violations::new();
    let new = update.over(row.shown());
    let display_name = check_name(&mut wrong, "tenant.display_name", &new.display_name);
    wrong.into_result()?;
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query!(
        "update tenant.clients set display_name = $2, version = version + 1, updated_at = now(), updated_by = $3
        where client_id = $1",
        client,
        display_name,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    note_change(tx, &row).await
}

/// Notes that the tenant was `before` and is as it stands now. A repetition of an order is noted as well.
pub(crate) async fn note_change(tx: &mut TenantTx, before: &TenantRow) -> Result<(), Fault> {
    let after = lock(tx).await?;
    tx.audit(
        Event::of(KIND, before.client_id)
            .before(&before.shown())
            .after(&after.shown()),
    );
    Ok(())
}

/// The tenant, locked until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx) -> Result<TenantRow, Fault> {
    let client = tx.client_id();
    let row = sqlx::query_as!(
        TenantRow,
        "select client_id, display_name, slug, state, plan, pending_plan, pending_overage, version, created_at, updated_at,
            deleted_at, purge_at
        from tenant.clients where client_id = $1 for no key update",
        client
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Notes where background work finishes what a crash leaves.
pub(crate) async fn note_unsettled(tx: &mut TenantTx) -> Result<(), Fault> {
    let client = tx.client_id();
    sqlx::query!("select tenant.note_unsettled($1)", client)
        .execute(tx.conn())
        .await
        .db()?;
    Ok(())
}
