//! The report that an auditor keeps.
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use onekeel_operator::SERVICES;
use onekeel_operator::stack::Database;
use onekeel_tests::{Ran, World, lead_named, run};
use sqlx::{Connection, PgConnection, raw_sql};

use crate::commands::onekeel;

/// The exit code, what was printed, and the page.
async fn report(url: &str, redis_url: &str, file: &Path) -> anyhow::Result<(Option<i32>, String, String)> {
    let mut command = onekeel(&["doctor", "--report"])?;
    command.arg(file).env("DATABASE_URL", url).env("REDIS_URL", redis_url);
    let Ran { code, out, err } = run(&mut command).await?;
    let page = std::fs::read_to_string(file).with_context(|| format!("{out}{err}"))?;
    Ok((code, out, page))
}

pub async fn a_report_tells_of_every_table_login_and_function(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    member.create(lead_named("emil")).await?;
    let folder = tempfile::tempdir()?;
    let url = &world.stack.database.admin_url;
    let (code, out, page) = report(url, &world.backing.redis_url, &folder.path().join("walls.md")).await?;
    ensure!(code == Some(0) && page.contains("All walls stand"), "{out}{page}");

    let (tables, functions): (Vec<String>, Vec<String>) = sqlx::query_as(
        "select array(select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where c.relkind in ('r', 'p') and n.nspname = any($1)),
            array(select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                where n.nspname = any($1) and p.prosecdef)",
    )
    .bind(onekeel_store::SCHEMAS)
    .fetch_one(&world.behind)
    .await?;
    ensure!(tables.len() > 15 && functions.len() > 5, "{tables:?} {functions:?}");
    let logins = SERVICES.map(|service| format!("onekeel_{service}"));
    for name in tables.iter().chain(&functions).chain(&logins) {
        ensure!(page.contains(name.as_str()), "nothing of {name}: {page}");
    }
    ensure!(page.contains("- lead.leads to onekeel_lead: shows nothing"), "{page}");

    let (above, last) = page.split_at(page.rfind("SHA-256").context("no digest")?);
    let hex: String = digest(&SHA256, above.as_bytes())
        .as_ref()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    ensure!(last.contains(&hex), "{last} and not {hex}");
    Ok(())
}

pub async fn a_report_names_what_is_broken(world: Arc<World>) -> anyhow::Result<()> {
    let database = Database::create(&world.backing.database_url).await?;
    let mut owner = PgConnection::connect(&database.admin_url).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("walls.md");
    for (make, words) in [
        (
            "create index loose on lead.leads (email)",
            "lead.leads lacks a part of its wall",
        ),
        (
            "drop index lead.loose; alter table quota.usage no force row level security",
            "quota.usage lacks a part of its wall",
        ),
        (
            "alter table quota.usage force row level security; create table lead.notes (id uuid primary key)",
            "lead.notes lacks a part of its wall",
        ),
        (
            "drop table lead.notes; grant execute on function lead.purge(uuid, bigint) to public",
            "lead.purge(uuid,bigint) can be misused",
        ),
        (
            "revoke execute on function lead.purge(uuid, bigint) from public;
            alter function lead.purge(uuid, bigint) reset search_path",
            "lead.purge(uuid,bigint) can be misused",
        ),
        (
            "alter function lead.purge(uuid, bigint) set search_path = '';
            insert into tenant.clients (client_id, display_name, slug, plan, state, created_at, updated_at, updated_by)
                values (gen_random_uuid(), 'A', 'a', 'basic', 'active', now(), now(), 'test');
            create policy open on tenant.clients for select using (true)",
            "onekeel_lead reads tenant.clients without a tenant",
        ),
    ] {
        raw_sql(make)
            .execute(&mut owner)
            .await
            .with_context(|| make.to_owned())?;
        let (code, out, page) = report(&database.admin_url, &world.backing.redis_url, &file).await?;
        ensure!(code == Some(1) && out.contains(words), "{words}: {out}");
        ensure!(
            page.contains(words) && !page.contains("All walls stand"),
            "{words}: {page}"
        );
    }
    owner.close().await?;
    database.remove().await
}
