//! Tenants and leads, made in SQL. Their ids follow from their numbers, so that every variant finds them.
use anyhow::{Context, ensure};
use onekeel_operator::bench::Options;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::load::Dice;
use crate::progress;

/// Tenants beside the numbered ones, in this order: one that floods, a small one, one whose limits are hot.
pub const TENANTS_BESIDES: u32 = 3;
/// A page, and some more.
const FEWEST_LEADS: u32 = 60;
const ROWS_AT_ONCE: u32 = 50_000;
/// Requests a minute of the tenant that floods.
pub const FLOODER_A_MINUTE: i64 = 6_000;
const TENANT: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0000;
const LEAD: u128 = 0x0000_0000_0000_7000_9000_0000_0000_0000;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Tenants.
    pub tenants: u32,
    /// Leads, of all tenants together.
    pub rows: u32,
    /// Tenants that call, the first ones.
    pub active: u32,
}

impl Sizes {
    /// So many, and all tenants call.
    pub fn of(tenants: u32, rows: u32) -> Self {
        Self {
            tenants,
            rows,
            active: tenants,
        }
    }

    /// As it was asked for, or else as documents show it.
    pub fn wanted(options: &Options) -> Self {
        let all = Self::of(options.tenants.unwrap_or(1_000), options.rows.unwrap_or(1_000_000));
        let active = options.active.unwrap_or(all.tenants).min(all.tenants);
        Self { active, ..all }
    }

    /// Any tenant that calls.
    pub fn any_tenant(self, dice: &mut Dice) -> u32 {
        dice.below(self.active)
    }

    /// Any lead of such a tenant, among so many leads, the first ones of each.
    pub fn any_lead(self, dice: &mut Dice, among: u32) -> u32 {
        let of_each = (self.rows / self.tenants).min(among / self.active).max(1);
        self.any_tenant(dice) + self.tenants * dice.below(of_each)
    }
}

/// Tenant number `number`, from 0.
pub fn tenant_id(number: u32) -> Uuid {
    Uuid::from_u128(TENANT + u128::from(number))
}

/// Lead number `number`, from 0.
pub fn lead_id(number: u32) -> Uuid {
    Uuid::from_u128(LEAD + u128::from(number))
}

/// The number of the tenant that a lead belongs to.
pub fn tenant_of(lead: u32, sizes: Sizes) -> u32 {
    lead % sizes.tenants
}

/// Makes the tenants and their leads, and lets PostgreSQL look at them.
pub async fn make(pool: &PgPool, sizes: Sizes) -> anyhow::Result<()> {
    let least = u64::from(sizes.tenants) * u64::from(FEWEST_LEADS);
    ensure!(
        u64::from(sizes.rows) >= least,
        "{} tenants need {least} rows at least; ask for more --rows or fewer --tenants",
        sizes.tenants
    );
    // One connection, since what is set about it counts for it only.
    let mut connection = pool.acquire().await?;
    // The rows are right by construction, and a million of them need no look at their keys.
    run(&mut connection, "set session_replication_role = replica").await?;
    run(&mut connection, "set synchronous_commit = off").await?;
    tenants(&mut connection, sizes).await?;
    // To make them at the end is quicker than to keep all of them up to date row by row.
    run(&mut connection, DROP_INDEXES).await?;
    let bar = progress::bar("making leads", sizes.rows.into());
    let mut first = 0;
    while first < sizes.rows {
        let last = sizes.rows.min(first + ROWS_AT_ONCE) - 1;
        leads(&mut connection, sizes, first, last).await?;
        bar.inc(u64::from(last - first + 1));
        first = last + 1;
    }
    bar.finish_and_clear();
    progress::say("making indexes, and letting PostgreSQL look at them");
    run(&mut connection, MAKE_INDEXES).await?;
    run(&mut connection, "set session_replication_role = origin").await?;
    run(&mut connection, "set synchronous_commit = on").await?;
    run(&mut connection, "vacuum analyze").await?;
    run(&mut connection, "checkpoint").await
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> anyhow::Result<()> {
    sqlx::raw_sql(statement).execute(connection).await.context(statement)?;
    Ok(())
}

const PLAN: &str = "
    insert into quota.plans (id, version, display_name, requests_per_minute) values ('bench', 1, 'Bench', 1000000000);
    insert into quota.plan_limits (plan_id, plan_version, resource, max_units)
        select 'bench', 1, r, null from unnest(array['leads', 'campaigns', 'agents', 'storage_bytes']) as r;
    insert into quota.failure_policies (plan_id, plan_version, resource, policy)
        select 'bench', 1, r, 'closed' from unnest(array['leads', 'campaigns', 'agents', 'storage_bytes']) as r
        union all select 'bench', 1, 'requests_per_minute', 'bounded';
    create schema bench;
    create table bench.sizes (everyone bigint, numbered bigint, leads bigint, flooder_a_minute bigint);
    -- Numbers to ids, as the driver makes them.
    create function bench.tenant(number bigint) returns uuid language sql immutable
        return ('00000000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid;
    create function bench.lead(number bigint) returns uuid language sql immutable
        return ('00000000-0000-7000-9000-' || lpad(to_hex(number), 12, '0'))::uuid;
    -- The lease that direct inserts charge: one for each tenant and resource, which outlives every run.
    create function bench.lease(number bigint, resource text) returns uuid language sql immutable
        return ('00000000-0000-7000-' || case resource when 'leads' then 'a' else 'b' end || '000-'
            || lpad(to_hex(number), 12, '0'))::uuid;
    -- As ids of version 7 are: their first bits are the time.
    create function bench.fresh_id() returns uuid language sql volatile
        return encode(substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
            || '\\x7000'::bytea || substring(uuid_send(gen_random_uuid()) from 9), 'hex')::uuid;
    grant usage on schema bench to public";

/// All but that of the primary key.
const DROP_INDEXES: &str = "
    create table bench.indexes as
        select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition from pg_index i
        where i.indrelid = 'lead.leads'::regclass
            and not exists (select from pg_constraint c where c.conindid = i.indexrelid);
    do $$ declare name text; begin
        for name in select i.name from bench.indexes i loop execute 'drop index ' || name; end loop;
    end $$";

/// As full as those are that have grown for a while: packed ones split nearly each page that is written to.
const MAKE_INDEXES: &str = "
    set maintenance_work_mem = '512MB';
    do $$ declare index record; begin
        for index in select i.name, i.definition from bench.indexes i loop
            execute case when index.definition like '% WHERE %'
                then replace(index.definition, ' WHERE ', ' WITH (fillfactor = 70) WHERE ')
                else index.definition || ' WITH (fillfactor = 70)' end;
            execute 'alter index ' || index.name || ' reset (fillfactor)';
        end loop;
    end $$";

const TENANTS: &str = "
    insert into tenant.clients (client_id, display_name, slug, state, plan, created_at, updated_at, updated_by)
        select bench.tenant(n), 'Bench ' || n, 'bench-' || n, 'active', 'bench', now(), now(), 'bench'
        from bench.sizes s, generate_series(0, s.everyone - 1) as n;
    insert into tenant.slugs (slug, id)
        select 'bench-' || n, bench.tenant(n) from bench.sizes s, generate_series(0, s.everyone - 1) as n;
    insert into quota.directory (id)
        select bench.tenant(n) from bench.sizes s, generate_series(0, s.everyone - 1) as n;
    insert into quota.assignments (client_id, state, plan_id, plan_version, expires_at, assigned_at, updated_by)
        select bench.tenant(n), 'active', 'bench', 1, null, now(), 'bench'
        from bench.sizes s, generate_series(0, s.everyone - 1) as n;
    -- As many as there are rows; the numbered tenants have one more each until the remainder is gone.
    insert into quota.usage (client_id, resource, cap, used, reserved, updated_by)
        select bench.tenant(n), r.name, 9000000000000000,
            case when n < s.numbered
                then (s.leads / s.numbered + (n < s.leads % s.numbered)::int) * r.each else 0 end,
            case when r.each > 0 then 1000000000000000 else 0 end, 'bench'
        from bench.sizes s, generate_series(0, s.everyone - 1) as n,
            (values ('leads', 1), ('campaigns', 0), ('agents', 0), ('storage_bytes', 300)) as r(name, each);
    insert into quota.reservations (client_id, id, resource, amount, created_at, expires_at)
        select bench.tenant(n), bench.lease(n, r), r, 1000000000000000, now(), now() + interval '10 days'
        from bench.sizes s, generate_series(0, s.everyone - 1) as n, unnest(array['leads', 'storage_bytes']) as r;
    insert into quota.overrides (client_id, id, resource, max_units, expires_at, reason, author, created_at)
        select bench.tenant(s.numbered), gen_random_uuid(), 'requests_per_minute', s.flooder_a_minute, null, 'bench',
            'bench', now()
        from bench.sizes s";

async fn tenants(connection: &mut PgConnection, sizes: Sizes) -> anyhow::Result<()> {
    run(connection, PLAN).await?;
    sqlx::query("insert into bench.sizes values ($1, $2, $3, $4)")
        .bind(i64::from(sizes.tenants + TENANTS_BESIDES))
        .bind(i64::from(sizes.tenants))
        .bind(i64::from(sizes.rows))
        .bind(FLOODER_A_MINUTE)
        .execute(&mut *connection)
        .await?;
    run(connection, TENANTS).await
}

async fn leads(connection: &mut PgConnection, sizes: Sizes, first: u32, last: u32) -> anyhow::Result<()> {
    sqlx::query(
        "insert into lead.leads (client_id, id, first_name, last_name, email, phone, phone_raw, company, source, status,
            score, tags, created_at, updated_at, updated_by, stored_bytes)
        select bench.tenant(n % $3), bench.lead(n), 'Ann', 'Example', 'lead' || n || '@example.com', '+17045857792',
            '(704)585-7792', 'Example, Inc.', 'web', 1 + n % 3, n % 100, array['bench'], now(), now(), 'bench', 300
        from generate_series($1::bigint, $2::bigint) as n",
    )
    .bind(i64::from(first))
    .bind(i64::from(last))
    .bind(i64::from(sizes.tenants))
    .execute(connection)
    .await
    .context("leads")?;
    Ok(())
}
