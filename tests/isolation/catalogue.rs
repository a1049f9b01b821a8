//! The walls themselves, and that a missing one is found.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::Database;
use onekeel_store::{Store, StoreConfig};
use onekeel_tests::{World, lead_named};
use sqlx::{Connection, PgConnection, raw_sql};

async fn open(database: &Database, service: &str) -> anyhow::Result<Store> {
    let config = StoreConfig {
        url: database.url_for(service)?,
        max_connections: 1,
        application: "catalogue test".to_owned(),
        cache: None,
    };
    Ok(Store::connect(config).await?)
}

pub async fn every_table_has_its_wall(world: Arc<World>) -> anyhow::Result<()> {
    for service in SERVICES {
        let store = open(&world.stack.database, service).await?;
        store.verify().await.with_context(|| service.to_owned())?;
        store.close().await;
    }
    Ok(())
}

/// Breaks the walls of a database of its own with `statement`; returns what the servers' check says then.
async fn broken_by(world: &World, statement: &'static str) -> anyhow::Result<String> {
    let database = Database::create(&world.backing.database_url).await?;
    let store = open(&database, "lead").await?;
    store.verify().await.context("before anything was broken")?;
    let mut owner = PgConnection::connect(&database.admin_url).await?;
    raw_sql(statement).execute(&mut owner).await?;
    let said = store
        .verify()
        .await
        .err()
        .context("the broken wall was not found")?
        .to_string();
    owner.close().await?;
    store.close().await;
    database.remove().await?;
    Ok(said)
}

pub async fn a_dropped_policy_is_found_and_stops_the_servers(world: Arc<World>) -> anyhow::Result<()> {
    let said = broken_by(&world, "drop policy tenant_isolation on lead.leads").await?;
    ensure!(said.contains("lead.leads has no policy"), "{said}");
    let said = broken_by(&world, "alter table quota.charges no force row level security").await?;
    ensure!(said.contains("quota.charges does not force"), "{said}");
    let said = broken_by(&world, "alter table tenant.clients disable row level security").await?;
    ensure!(
        said.contains("tenant.clients has row-level security disabled"),
        "{said}"
    );
    Ok(())
}

pub async fn a_second_policy_is_found(world: Arc<World>) -> anyhow::Result<()> {
    let said = broken_by(&world, "create policy open on lead.leads for select using (true)").await?;
    ensure!(said.contains("lead.leads has more than one policy"), "{said}");
    let weak = "drop policy tenant_isolation on lead.leads; create policy tenant_isolation on lead.leads using (true)";
    let said = broken_by(&world, weak).await?;
    ensure!(
        said.contains("lead.leads has a policy that is not the tenant policy"),
        "{said}"
    );
    Ok(())
}

pub async fn a_table_without_a_tenant_is_found(world: Arc<World>) -> anyhow::Result<()> {
    let said = broken_by(&world, "create table lead.notes (id uuid primary key)").await?;
    ensure!(said.contains("lead.notes has no client_id"), "{said}");
    Ok(())
}

pub async fn what_spans_tenants_reads_directories_only(world: Arc<World>) -> anyhow::Result<()> {
    let (mighty, readable): (bool, Vec<String>) = sqlx::query_as(
        "select r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb,
            array(select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where c.relkind in ('r', 'p') and n.nspname = any($1)
                    and has_table_privilege(r.oid, c.oid, 'select, insert, update, delete') order by 1)
        from pg_roles r where r.rolname = 'onekeel_platform'",
    )
    .bind(onekeel_store::SCHEMAS)
    .fetch_one(&world.behind)
    .await?;
    ensure!(!mighty, "onekeel_platform is too mighty");
    ensure!(
        readable
            == [
                "quota.directory",
                "tenant.hosts",
                "tenant.secret_hashes",
                "tenant.slugs",
                "tenant.unsettled"
            ],
        "onekeel_platform reads {readable:?}"
    );
    // Functions that pass the caller's rights and answer with a list of ids: whatever walks tenants.
    let others: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = any($1) and p.prosecdef and p.proretset and p.prorettype = 'uuid'::regtype
            and p.proowner <> 'onekeel_platform'::regrole",
    )
    .bind(onekeel_store::SCHEMAS)
    .fetch_all(&world.behind)
    .await?;
    ensure!(others.is_empty(), "another role walks tenants by {others:?}");
    Ok(())
}

pub async fn a_services_login_sees_only_the_tenant_that_is_set(world: Arc<World>) -> anyhow::Result<()> {
    let (a, b) = (world.member("basic").await?, world.member("basic").await?);
    a.create(lead_named("ann")).await?;
    let mut login = PgConnection::connect(&world.stack.database.url_for("lead")?).await?;
    let all = "select count(*) from lead.leads";
    let seen: i64 = sqlx::query_scalar(all).fetch_one(&mut login).await?;
    ensure!(seen == 0, "{seen} leads without a tenant");
    for (tenant, expected) in [(&a, 1), (&b, 0)] {
        let mut tx = begin(&mut login).await?;
        sqlx::query("select onekeel.set_tenant($1)")
            .bind(tenant.id.uuid())
            .execute(&mut *tx)
            .await?;
        let seen: i64 = sqlx::query_scalar(all).fetch_one(&mut *tx).await?;
        ensure!(seen == expected, "{seen} leads");
        let foreign = sqlx::query("update lead.leads set score = 1 where client_id <> $1").bind(tenant.id.uuid());
        ensure!(
            foreign.execute(&mut *tx).await?.rows_affected() == 0,
            "another tenant's row was changed"
        );
        let stolen =
            sqlx::query("insert into quota.releases (client_id, id, resource, units) values ($1, $2, 'leads', 9)")
                .bind(if tenant.id == a.id { b.id.uuid() } else { a.id.uuid() })
                .bind(uuid::Uuid::now_v7())
                .execute(&mut *tx)
                .await;
        ensure!(stolen.is_err(), "a release for another tenant was written");
        tx.rollback().await?;
    }
    let other_schema = sqlx::query("select * from quota.usage").execute(&mut login).await;
    ensure!(other_schema.is_err(), "the lead service reads quota.usage");
    Ok(login.close().await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the walls are tested without the store's own one"
)]
async fn begin(connection: &mut PgConnection) -> Result<sqlx::Transaction<'_, sqlx::Postgres>, sqlx::Error> {
    connection.begin().await
}
