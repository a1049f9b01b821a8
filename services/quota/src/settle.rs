//! The end of a lease: what was charged is used, the rest is free again. Nothing else folds charges.
use onekeel_api::Fault;
use onekeel_store::{DbResult, Store};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It has ended now.
    Ended {
        /// Units that rows had charged.
        charged: i64,
    },
    /// A transaction holds it at this moment.
    InUse,
    /// It had ended before.
    Gone,
}

/// Settles one lease in a transaction of its own.
///
/// The steps are separate statements, so that each sees what the one before waited for (READ COMMITTED): the lock
/// conflicts with the key share lock of every charge in flight; a charge that comes later fails its foreign key and
/// takes its row down with it.
pub(crate) async fn settle(store: &Store, tenant: &Tenant, lease: Uuid) -> Result<Settled, Fault> {
    let settle = async |tx: &mut onekeel_store::TenantTx| {
        let (client, name) = (tx.client_id(), tx.name());
        let held = sqlx::query!(
            "select resource, amount from quota.reservations where client_id = $1 and id = $2 for update skip locked",
            client,
            lease
        )
        .fetch_optional(tx.conn())
        .await
        .db()?;
        let Some(held) = held else {
            let exists = sqlx::query_scalar!(
                r#"select exists(select from quota.reservations where client_id = $1 and id = $2) as "exists!""#,
                client,
                lease
            );
            let exists = exists.fetch_one(tx.conn()).await.db()?;
            return Ok(if exists { Settled::InUse } else { Settled::Gone });
        };
        let charged = sqlx::query_scalar!(
            r#"with gone as (delete from quota.charges where client_id = $1 and reservation_id = $2 returning units)
            select coalesce(sum(units), 0)::bigint as "sum!" from gone"#,
            client,
            lease
        )
        .fetch_one(tx.conn())
        .await
        .db()?;
        if charged > held.amount {
            metrics::counter!("onekeel_quota_overspent_leases_total").increment(1);
            tracing::error!(tenant.id = %tenant.id(), lease = %lease, charged, amount = held.amount, "a lease was overspent");
        }
        sqlx::query!(
            "update quota.usage set used = used + $3, reserved = reserved - $4, updated_by = $5
            where client_id = $1 and resource = $2",
            client,
            held.resource,
            charged,
            held.amount,
            name
        )
        .execute(tx.conn())
        .await
        .db()?;
        sqlx::query!(
            "delete from quota.reservations where client_id = $1 and id = $2",
            client,
            lease
        )
        .execute(tx.conn())
        .await
        .db()?;
        Ok(Settled::Ended { charged })
    };
    store.run(tenant, "settle_lease", settle).await
}

/// Folds what deleted rows gave back into `used`; locks the usage row first, then reads in a new statement.
pub(crate) async fn fold(store: &Store, tenant: &Tenant, resource: &str) -> Result<(), Fault> {
    let fold = async |tx: &mut onekeel_store::TenantTx| {
        let (client, name) = (tx.client_id(), tx.name());
        sqlx::query!(
            "select used from quota.usage where client_id = $1 and resource = $2 for no key update",
            client,
            resource
        )
        .fetch_optional(tx.conn())
        .await
        .db()?;
        let given_back = sqlx::query_scalar!(
            r#"with gone as (delete from quota.releases where client_id = $1 and resource = $2 returning units)
            select coalesce(sum(units), 0)::bigint as "sum!" from gone"#,
            client,
            resource
        )
        .fetch_one(tx.conn())
        .await
        .db()?;
        sqlx::query!(
            "update quota.usage set used = used - $3, updated_by = $4 where client_id = $1 and resource = $2",
            client,
            resource,
            given_back,
            name
        )
        .execute(tx.conn())
        .await
        .db()?;
        Ok(())
    };
    let folded = store.run(tenant, "fold_releases", fold).await;
    if let Err(fault) = &folded {
        metrics::counter!("onekeel_quota_fold_failures_total").increment(1);
        tracing::error!(tenant.id = %tenant.id(), resource, %fault, "releases could not be folded");
    }
    folded
}
