//! The SQL of plans on their way.
use onekeel_api::Fault;
use onekeel_store::{DbResult, TenantTx};

use crate::repo::{lock, note_change, note_unsettled};

/// Notes that a plan is on its way; refuses while another one is.
pub(crate) async fn begin_plan(tx: &mut TenantTx, plan: &str, allow_overage: bool) -> Result<(), Fault> {
    let row = lock(tx).await?;
    row.refuse_deleted()?;
    if row.pending_plan.is_some_and(|pending| pending != plan) {
        return Err(Fault::state_conflict(
            "plan",
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

/// Writes down what QuotaService put in force; a tenant in provisioning becomes active. Here the change has happened, so
/// that a refused one leaves no event; the first plan of a tenant is a part of its creation.
pub(crate) async fn confirm_plan(tx: &mut TenantTx, plan: &str) -> Result<(), Fault> {
    let row = lock(tx).await?;
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
    if row.plan.is_some() && row.pending_plan.as_deref() == Some(plan) {
        note_change(tx, &row).await?;
    }
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
        sqlx::query!("select audit.forget($1)", client)
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

async fn forget_unsettled(tx: &mut TenantTx) -> Result<(), Fault> {
    let client = tx.client_id();
    sqlx::query!("select tenant.forget_unsettled($1)", client)
        .execute(tx.conn())
        .await
        .db()?;
    Ok(())
}
