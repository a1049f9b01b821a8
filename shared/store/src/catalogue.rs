//! The walls, looked at before a server starts: its own role, and the policy of every table.
use std::fmt;

use onekeel_api::Fault;

use crate::{Single, Store};

/// The schemas that hold the suite's tables.
pub const SCHEMAS: [&str; 6] = ["onekeel", "tenant", "lead", "campaign", "quota", "audit"];

/// The reviewed list of tables that belong to no tenant: catalogues and directories.
pub const UNSCOPED_TABLES: [&str; 13] = [
    "quota.changes",
    "quota.directory",
    "quota.failure_policies",
    "quota.plan_limits",
    "quota.plans",
    "quota.price_lists",
    "quota.prices",
    "tenant.changes",
    "tenant.creations",
    "tenant.hosts",
    "tenant.secret_hashes",
    "tenant.slugs",
    "tenant.unsettled",
];

/// What every policy says, as PostgreSQL prints it, but for the name that it gives the sub-select's column.
const POLICY: &str =
    "(client_id = ( SELECT (NULLIF(current_setting('app.current_client_id'::text, true), ''::text))::uuid))";

/// Why a server may not start on this database.
#[derive(Debug)]
pub enum WallError {
    /// The login could pass the walls.
    Role(String),
    /// Tables whose wall is missing or crooked, each with its fault.
    Tables(Vec<String>),
    /// The catalogue could not be read.
    Read(Fault),
}

impl fmt::Display for WallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(why) => write!(f, "the database role is too mighty: {why}"),
            Self::Tables(tables) => write!(f, "row-level security is incomplete: {}", tables.join("; ")),
            Self::Read(fault) => write!(f, "the catalogue cannot be read: {fault}"),
        }
    }
}

impl std::error::Error for WallError {}

struct Table {
    name: String,
    scoped: bool,
    enabled: bool,
    forced: bool,
    policies: i64,
    fitting: i64,
}

impl Store {
    /// Refuses a role that could pass the walls, and a table of the suite without its wall; names each table.
    pub async fn verify(&self) -> Result<(), WallError> {
        self.verify_role().await?;
        let crooked = self.crooked_tables().await.map_err(WallError::Read)?;
        if crooked.is_empty() {
            Ok(())
        } else {
            Err(WallError::Tables(crooked))
        }
    }

    async fn verify_role(&self) -> Result<(), WallError> {
        let read = async |single: &mut Single| {
            sqlx::query!(
                r#"select current_user::text as "name!", rolsuper as "superuser!", rolbypassrls as "bypasses!",
                exists(select from pg_class where relowner = r.oid) as "owns!",
                exists(select from pg_roles o where o.rolname = 'onekeel_owner'
                    and pg_has_role(r.oid, o.oid, 'member')) as "owner!"
            from pg_roles r where rolname = current_user"#
            )
            .fetch_one(single.conn())
            .await
        };
        let role = self.catalogue("read_role", read).await.map_err(WallError::Read)?;
        let fault = match (role.superuser, role.bypasses, role.owns, role.owner) {
            (true, ..) => "is a superuser, whom no policy binds",
            (_, true, ..) => "bypasses row-level security",
            (_, _, true, _) => "owns tables, and an owner can drop their policies",
            (.., true) => "is a member of onekeel_owner",
            _ => return Ok(()),
        };
        Err(WallError::Role(format!(
            "{} {fault}; use the service's own login, for example onekeel_lead",
            role.name
        )))
    }

    /// Tables without their wall, each with what is wrong; none when all is well.
    pub async fn crooked_tables(&self) -> Result<Vec<String>, Fault> {
        let schemas: Vec<String> = SCHEMAS.map(str::to_owned).to_vec();
        let read = async |single: &mut Single| {
            sqlx::query_as!(
                Table,
                r#"select n.nspname || '.' || c.relname as "name!",
                exists(select from pg_attribute a
                    where a.attrelid = c.oid and a.attname = 'client_id' and not a.attisdropped) as "scoped!",
                c.relrowsecurity as "enabled!", c.relforcerowsecurity as "forced!",
                (select count(*) from pg_policy p where p.polrelid = c.oid) as "policies!",
                (select count(*) from pg_policy p where p.polrelid = c.oid
                    and p.polpermissive and p.polcmd = '*' and p.polroles = '{0}'
                    and regexp_replace(pg_get_expr(p.polqual, p.polrelid), ' AS "?nullif"?', '') = $2
                    and regexp_replace(pg_get_expr(p.polwithcheck, p.polrelid), ' AS "?nullif"?', '') = $2) as "fitting!"
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p') and n.nspname = any($1)
            order by 1"#,
                &schemas,
                POLICY
            )
            .fetch_all(single.conn())
            .await
        };
        let tables = self.catalogue("read_tables", read).await?;
        if tables.is_empty() {
            return Ok(vec!["the database has no tables yet; run the migrations".to_owned()]);
        }
        Ok(tables
            .iter()
            .filter_map(|table| Some(format!("{} {}", table.name, table.fault()?)))
            .collect())
    }
}

impl Table {
    fn fault(&self) -> Option<&'static str> {
        match self {
            Self {
                scoped: false, name, ..
            } if UNSCOPED_TABLES.contains(&name.as_str()) => None,
            Self { scoped: false, .. } => Some("has no client_id and is not in the reviewed list"),
            Self { enabled: false, .. } => Some("has row-level security disabled"),
            Self { forced: false, .. } => Some("does not force row-level security on its owner"),
            Self {
                policies: 1,
                fitting: 1,
                ..
            } => None,
            Self { policies: 0, .. } => Some("has no policy"),
            Self { policies: 1, .. } => Some("has a policy that is not the tenant policy"),
            _ => Some("has more than one policy"),
        }
    }
}
