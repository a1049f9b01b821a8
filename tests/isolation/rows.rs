//! All rows of a tenant, whichever tables the catalogue has.
use anyhow::Context;
use onekeel_api::ClientId;
use onekeel_tests::World;

/// Tables in which leases come and go by themselves; what they add up to is looked at instead. What servers counted is
/// written down some time after the call, and by themselves as well.
const LEDGER: [&str; 5] = [
    "quota.usage",
    "quota.reservations",
    "quota.charges",
    "quota.releases",
    "quota.usage_days",
];

/// A digest of every row that belongs to the tenant, and of the units that it uses.
pub async fn digest(world: &World, client: ClientId) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select n.nspname || '.' || c.relname from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'client_id' and not a.attisdropped
        where c.relkind in ('r', 'p') and n.nspname = any($1) order by 1",
    )
    .bind(onekeel_store::SCHEMAS)
    .fetch_all(&world.behind)
    .await?;
    anyhow::ensure!(tables.len() > LEDGER.len(), "the catalogue has no tables of tenants");
    let mut digests = Vec::with_capacity(tables.len());
    for table in tables.into_iter().filter(|table| !LEDGER.contains(&table.as_str())) {
        // The driver takes literals only; the server puts the name in.
        let rows: Option<String> = sqlx::query_scalar(
            "select md5(query_to_xml(format('select t::text from %s t where client_id = %L order by 1', $1::text, $2::uuid),
                true, false, '')::text)",
        )
        .bind(&table)
        .bind(client.uuid())
        .fetch_one(&world.behind)
        .await
        .with_context(|| table.clone())?;
        digests.push((table, rows));
    }
    let used: Option<String> = sqlx::query_scalar(
        "select string_agg(u.resource || ' ' || (u.used
            + coalesce((select sum(c.units) from quota.charges c
                where c.client_id = u.client_id and c.resource = u.resource), 0)
            - coalesce((select sum(r.units) from quota.releases r
                where r.client_id = u.client_id and r.resource = u.resource), 0))::text, ', ' order by u.resource)
        from quota.usage u where u.client_id = $1",
    )
    .bind(client.uuid())
    .fetch_one(&world.behind)
    .await?;
    digests.push(("used units".to_owned(), used));
    Ok(digests)
}
