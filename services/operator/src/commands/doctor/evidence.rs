//! What the catalogue of a live database says of the walls, read in one snapshot.
use onekeel_operator::{SERVICES, login_of};
use onekeel_store::{SCHEMAS, UNSCOPED_TABLES};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

/// A table.
#[derive(sqlx::FromRow)]
pub struct Table {
    pub name: String,
    pub scoped: bool,
    pub enabled: bool,
    pub forced: bool,
    /// As PostgreSQL prints them: name, command, expression, check.
    pub policies: Vec<String>,
    /// Keys and indexes that do not begin with the tenant.
    pub loose: Vec<String>,
}

impl Table {
    /// Whether it is where it may be without a tenant.
    pub fn is_reviewed(&self) -> bool {
        UNSCOPED_TABLES.contains(&self.name.as_str())
    }

    pub fn is_walled(&self) -> bool {
        self.scoped && self.enabled && self.forced && self.policies.len() == 1 && self.loose.is_empty()
    }
}

/// A login of a service, and what it may do.
#[derive(sqlx::FromRow)]
pub struct Login {
    pub name: String,
    pub superuser: bool,
    pub bypasses: bool,
    pub owns: i64,
    pub member_of: Vec<String>,
    pub rights: Vec<String>,
    /// Whether the one who looks may act as this login.
    pub can_be_tried: bool,
}

/// A function that runs with its owner's rights.
#[derive(sqlx::FromRow)]
pub struct Function {
    pub name: String,
    pub owner: String,
    /// Settings that it pins.
    pub pinned: String,
    /// Who may call it.
    pub callers: Vec<String>,
}

/// A table as a login sees it to which no tenant is set.
pub struct Tried {
    pub login: String,
    pub table: String,
    /// Whether there was a row.
    pub seen: bool,
}

/// Which database it was.
#[derive(sqlx::FromRow)]
pub struct Place {
    pub database: String,
    pub system: String,
    pub version: String,
    pub login: String,
    pub at: String,
}

/// All of it.
pub struct Evidence {
    pub place: Place,
    pub migrations: Vec<(i64, String)>,
    pub tables: Vec<Table>,
    pub logins: Vec<Login>,
    pub functions: Vec<Function>,
    pub tried: Vec<Tried>,
}

impl Evidence {
    /// Reads everything from `url` without changing anything.
    #[expect(
        clippy::disallowed_methods,
        reason = "the operator looks at the walls from outside of the store"
    )]
    pub async fn gather(url: &str) -> Result<Self, sqlx::Error> {
        let mut connection = PgConnection::connect(url).await?;
        let mut snapshot = connection.begin().await?;
        sqlx::raw_sql(
            "set transaction isolation level repeatable read, read only; set local statement_timeout = '30s'",
        )
        .execute(&mut *snapshot)
        .await?;
        let (schemas, logins) = (SCHEMAS.map(str::to_owned), SERVICES.map(login_of));
        let place = sqlx::query_as(PLACE).fetch_one(&mut *snapshot).await?;
        let migrations = sqlx::query_as(MIGRATIONS).fetch_all(&mut *snapshot).await?;
        let tables: Vec<Table> = sqlx::query_as(TABLES)
            .bind(&schemas[..])
            .fetch_all(&mut *snapshot)
            .await?;
        let functions = sqlx::query_as(FUNCTIONS)
            .bind(&schemas[..])
            .fetch_all(&mut *snapshot)
            .await?;
        let found: Vec<Login> = sqlx::query_as(LOGINS)
            .bind(&logins[..])
            .bind(&schemas[..])
            .fetch_all(&mut *snapshot)
            .await?;
        let tried = attempt(&mut snapshot, &found, &tables).await?;
        snapshot.rollback().await?;
        connection.close().await?;
        Ok(Self {
            place,
            migrations,
            tables,
            logins: found,
            functions,
            tried,
        })
    }

    /// What an auditor should read first; nothing when all is well.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for table in &self.tables {
            if !table.is_reviewed() && !table.is_walled() {
                faults.push(format!("{} lacks a part of its wall", table.name));
            }
        }
        for service in SERVICES {
            let name = login_of(service);
            if self.logins.iter().all(|login| login.name != name) {
                faults.push(format!("{name} does not exist, so nothing is known of it"));
            }
        }
        for login in &self.logins {
            if login.superuser || login.bypasses || login.owns > 0 || !login.member_of.is_empty() {
                faults.push(format!("{} could pass the walls", login.name));
            }
        }
        for function in self.functions.iter().filter(|function| function.is_open()) {
            faults.push(format!("{} can be misused", function.name));
        }
        for tried in self.tried.iter().filter(|tried| tried.seen) {
            faults.push(format!("{} reads {} without a tenant", tried.login, tried.table));
        }
        faults
    }
}

impl Function {
    /// Whether a caller could choose what its names mean, or everybody may call it.
    pub fn is_open(&self) -> bool {
        !self.pinned.contains("search_path") || self.callers.iter().any(|caller| caller == "everybody")
    }
}

/// Looks at every tenant's table as every login that may read it, with no tenant set: none may see a row.
async fn attempt(
    snapshot: &mut Transaction<'_, Postgres>,
    logins: &[Login],
    tables: &[Table],
) -> Result<Vec<Tried>, sqlx::Error> {
    let mut tried = Vec::new();
    for login in logins.iter().filter(|login| login.can_be_tried) {
        let readable = login.rights.iter().filter_map(|right| right.strip_prefix("select on "));
        let walled = readable.filter(|name| tables.iter().any(|table| table.name == **name && table.scoped));
        for table in walled.collect::<Vec<_>>() {
            // Both names come from the catalogue; the server quotes them.
            let look: String = sqlx::query_scalar(
                "select format('set local role %I; select exists(select from %I.%I)', $1::text,
                    split_part($2, '.', 1), split_part($2, '.', 2))",
            )
            .bind(&login.name)
            .bind(table)
            .fetch_one(&mut **snapshot)
            .await?;
            let seen = see(snapshot, look).await?;
            tried.push(Tried {
                login: login.name.clone(),
                table: table.to_owned(),
                seen,
            });
        }
    }
    Ok(tried)
}

#[expect(
    clippy::disallowed_types,
    reason = "names of the catalogue, quoted by the server that has them"
)]
async fn see(snapshot: &mut Transaction<'_, Postgres>, look: String) -> Result<bool, sqlx::Error> {
    use sqlx::{AssertSqlSafe, Row, raw_sql};
    let rows = raw_sql(AssertSqlSafe(look)).fetch_all(&mut **snapshot).await?;
    let seen = rows.last().map_or(Ok(false), |row| row.try_get(0))?;
    raw_sql("reset role").execute(&mut **snapshot).await?;
    Ok(seen)
}

const PLACE: &str = "select current_database()::text as database,
    (select system_identifier::text from pg_control_system()) as system,
    current_setting('server_version') as version, current_user::text as login,
    to_char(now() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS') as at";

const MIGRATIONS: &str = "select version, encode(checksum, 'hex') from _sqlx_migrations where success order by version";

const TABLES: &str = "select n.nspname || '.' || c.relname as name,
    exists(select from pg_attribute a where a.attrelid = c.oid and a.attname = 'client_id' and not a.attisdropped) as scoped,
    c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
    array(select format('%s %s for %s using %s check %s', case when p.polpermissive then 'permissive' else 'restrictive' end,
            p.polname, case p.polcmd when '*' then 'all' else p.polcmd::text end,
            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        from pg_policy p where p.polrelid = c.oid order by 1) as policies,
    array(select i.indexrelid::regclass::text from pg_index i
        left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = c.oid and a.attname is distinct from 'client_id'
        union all
        select k.conname::text from pg_constraint k
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
        where k.conrelid = c.oid and k.contype = 'f' and a.attname <> 'client_id' order by 1) as loose
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname = any($1) order by 1";

const LOGINS: &str = "select r.rolname::text as name, r.rolsuper as superuser, r.rolbypassrls as bypasses,
    (select count(*) from pg_class where relowner = r.oid) as owns,
    array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
        where m.member = r.oid order by 1) as member_of,
    array(select lower(a.privilege_type) || ' on ' || n.nspname || '.' || c.relname
        from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral aclexplode(c.relacl) a
        where n.nspname = any($2) and a.grantee in (0, r.oid) order by 1) as rights,
    pg_has_role(r.oid, 'member') as can_be_tried
    from pg_roles r where r.rolname = any($1) order by 1";

const FUNCTIONS: &str = "select p.oid::regprocedure::text as name, p.proowner::regrole::text as owner,
    coalesce(array_to_string(p.proconfig, ', '), '') as pinned,
    array(select case a.grantee when 0 then 'everybody' else a.grantee::regrole::text end
        from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where a.grantee <> p.proowner and a.privilege_type = 'EXECUTE' order by 1) as callers
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = any($1) and p.prosecdef order by 1";
