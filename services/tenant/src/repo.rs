//! The SQL of tenants.
use onekeel_api::{ClientId, ErrorReason, Fault};
use onekeel_store::{DbResult, Single, TenantTx};

use crate::tenant::{NewTenant, TenantRow};

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
    Ok(Created::Now)
}

/// The tenant's own row, in one round trip.
pub(crate) async fn find(single: &mut Single) -> Result<Option<TenantRow>, sqlx::Error> {
    let client = single.client_id();
    let row = sqlx::query_as!(
        TenantRow,
        r#"select client_id as "client_id!", display_name as "display_name!", slug as "slug!", state as "state!", plan,
            pending_plan, pending_overage as "pending_overage!", version as "version!", created_at as "created_at!",
            updated_at as "updated_at!"
        from tenant.get_client($1)"#,
        client
    );
    row.fetch_optional(single.conn()).await
}

async fn lock(tx: &mut TenantTx) -> Result<TenantRow, Fault> {
    let client = tx.client_id();
    let row = sqlx::query_as!(
        TenantRow,
        "select client_id, display_name, slug, state, plan, pending_plan, pending_overage, version, created_at, updated_at
        from tenant.clients where client_id = $1 for no key update",
        client
    );
    row.fetch_optional(tx.conn()).await.db()?.ok_or_else(Fault::not_found)
}

/// Notes that a plan is on its way; refuses while another one is.
pub(crate) async fn begin_plan(tx: &mut TenantTx, plan: &str, allow_overage: bool) -> Result<(), Fault> {
    let row = lock(tx).await?;
    if row.pending_plan.is_some_and(|pending| pending != plan) {
        return Err(Fault::new(
            ErrorReason::StateConflict,
            "another change of plan is on its way; try again",
        ));
    }
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query!(
        "update tenant.clients set pending_plan = $2, pending_overage = $3, updated_at = now(), updated_by = $4
        where client_id = $1",
        client,
        plan,
        allow_overage,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    note_unsettled(tx).await
}

/// Writes down what QuotaService put in force; a tenant in provisioning becomes active.
pub(crate) async fn confirm_plan(tx: &mut TenantTx, plan: &str) -> Result<(), Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    sqlx::query!(
        "update tenant.clients set plan = $2, pending_plan = null, pending_overage = false,
            state = case state when 'provisioning' then 'active' else state end,
            version = version + 1, updated_at = now(), updated_by = $3
        where client_id = $1 and pending_plan = $2",
        client,
        plan,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    forget_unsettled(tx).await
}

/// Takes a refused plan back; a tenant that never had one goes away with its claims.
pub(crate) async fn refuse_plan(tx: &mut TenantTx, plan: &str) -> Result<(), Fault> {
    let row = lock(tx).await?;
    if row.pending_plan.as_deref() != Some(plan) {
        return Ok(());
    }
    let (client, name) = (tx.client_id(), tx.name());
    if row.plan.is_none() {
        sqlx::query!("delete from tenant.clients where client_id = $1", client)
            .execute(tx.conn())
            .await
            .db()?;
        sqlx::query!("select tenant.abandon_creation($1)", client)
            .execute(tx.conn())
            .await
            .db()?;
        return Ok(());
    }
    sqlx::query!(
        "update tenant.clients set pending_plan = null, pending_overage = false, updated_at = now(), updated_by = $2
        where client_id = $1",
        client,
        name
    )
    .execute(tx.conn())
    .await
    .db()?;
    forget_unsettled(tx).await
}

/// Moves a tenant between the states that an operator may choose; a repetition changes nothing.
pub(crate) async fn set_state(tx: &mut TenantTx, state: &str) -> Result<(), Fault> {
    let row = lock(tx).await?;
    if row.state == state {
        return Ok(());
    }
    if row.state == "provisioning" {
        return Err(Fault::new(
            ErrorReason::StateConflict,
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
    Ok(())
}

async fn note_unsettled(tx: &mut TenantTx) -> Result<(), Fault> {
    let client = tx.client_id();
    sqlx::query!("select tenant.note_unsettled($1)", client)
        .execute(tx.conn())
        .await
        .db()?;
    Ok(())
}

async fn forget_unsettled(tx: &mut TenantTx) -> Result<(), Fault> {
    let client = tx.client_id();
    sqlx::query!("select tenant.forget_unsettled($1)", client)
        .execute(tx.conn())
        .await
        .db()?;
    Ok(())
}
