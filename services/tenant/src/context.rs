//! What every other server must know of a tenant before it serves it.
use std::time::Duration;

use chrono::Utc;
use onekeel_api::tenant::{EndedSecret, ListTenantChangesResponse, TenantChange, TenantContext};
use onekeel_api::{Fault, timestamp};
use onekeel_gate::KeptContexts;
use onekeel_store::{Feed, Single, Store};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::host::HostRules;
use crate::tenant::state_of;

/// The context of the tenant as it is; kept for times in which this service cannot be asked.
pub(crate) async fn read(
    store: &Store,
    kept: &KeptContexts,
    rules: &HostRules,
    tenant: &Tenant,
) -> Result<TenantContext, Fault> {
    let find = async |single: &mut Single| find(single, rules).await;
    // Before the question, so that a change after it is dropped.
    let edition = kept.edition();
    let row = store.one(tenant, "get_tenant_context", find).await?;
    let context = row.ok_or_else(Fault::not_found)?;
    if let Some(edition) = edition {
        kept.keep(tenant, edition, &context).await;
    }
    Ok(context)
}

async fn find(single: &mut Single, rules: &HostRules) -> Result<Option<TenantContext>, sqlx::Error> {
    let (client, began) = (single.client_id(), Utc::now());
    let row = sqlx::query!(
        r#"select state as "state!", deleted as "deleted!", plan, networks as "networks!", slug as "slug!",
            domains as "domains!", ids as "ids!", seconds as "seconds!", (select tenant.last_change($1)) as "change!"
        from tenant.get_context($1), tenant.ended_secrets($1)"#,
        client
    );
    let row = row.fetch_optional(single.conn()).await?;
    Ok(row.map(|row| TenantContext {
        state: state_of(&row.state, row.deleted).into(),
        plan: row.plan.unwrap_or_default(),
        networks: row.networks,
        hosts: rules.host_of(&row.slug).into_iter().chain(row.domains).collect(),
        ended_secrets: row.ids.iter().zip(row.seconds).map(ended).collect(),
        change: row.change,
        read_time: Some(timestamp(began)),
    }))
}

fn ended((id, seconds): (&Uuid, f64)) -> EndedSecret {
    let left = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    EndedSecret {
        id: id.to_string(),
        remaining: prost_types::Duration::try_from(left).ok(),
    }
}

/// Whose context has changed since `cursor`.
pub(crate) async fn changes(
    store: &Store,
    kept: &KeptContexts,
    cursor: i64,
) -> Result<ListTenantChangesResponse, Fault> {
    if cursor < 0 {
        return Err(Fault::invalid("cursor", "must be 0, or what the answer before gave"));
    }
    let changes = store.changes(Feed::Contexts, cursor).await?;
    // Before anybody is told, so that nobody who was finds an older one. Without Redis nobody finds any, and what is dropped
    // in vain here is dropped by those who follow the changes.
    let _dropped = kept.outdate(&changes.tenants).await;
    let told = changes.tenants.iter().map(|(client, change)| TenantChange {
        client_id: client.to_string(),
        change: *change,
    });
    Ok(ListTenantChangesResponse {
        changes: told.collect(),
        cursor: changes.next,
        complete: changes.complete,
        database_run: changes.run,
    })
}
