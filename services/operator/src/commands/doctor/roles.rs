//! The logins: none may pass the walls, by its own power or by another's.
use onekeel_operator::{SERVICES, login_of};
use sqlx::{PgConnection, Row};

use super::findings::{Findings, listed};

const OWNER: &str = "onekeel_owner";

/// The services' logins and the owner of the tables.
pub async fn look(findings: &mut Findings, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for service in SERVICES {
        let role = login_of(service);
        let name = format!("postgres.role.{service}");
        match faults(connection, &role).await? {
            None => findings.failure(name, format!("{role} does not exist"), "run `onekeel migrate`"),
            Some(faults) if faults.is_empty() => {
                findings.ok(name, format!("{role} logs in, owns nothing and passes no wall"));
            }
            Some(faults) => findings.failure(
                name,
                format!("{role} {}", faults.join("; ")),
                format!("take that away: alter role {role} nosuperuser nobypassrls nocreaterole nocreatedb noreplication, reassign owned by {role} to {OWNER}, revoke the membership; its server refuses to start until then"),
            ),
        }
    }
    let login: Option<bool> = sqlx::query_scalar("select rolcanlogin from pg_roles where rolname = $1")
        .bind(OWNER)
        .fetch_optional(connection)
        .await?;
    match login {
        None => findings.failure(
            "postgres.role.owner",
            format!("{OWNER} does not exist"),
            "run `onekeel migrate`",
        ),
        Some(true) => findings.failure(
            "postgres.role.owner",
            format!("{OWNER} can log in"),
            format!("alter role {OWNER} nologin"),
        ),
        Some(false) => findings.ok(
            "postgres.role.owner",
            format!("{OWNER} owns the tables and cannot log in"),
        ),
    }
    Ok(())
}

/// What makes a login too mighty, or useless; `None` when there is no such login.
async fn faults(connection: &mut PgConnection, role: &str) -> Result<Option<Vec<String>>, sqlx::Error> {
    let row = sqlx::query(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin,
            exists(select from pg_shdepend where refclassid = 'pg_authid'::regclass and refobjid = r.oid and deptype = 'o'),
            array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
                where m.member = r.oid order by 1)
        from pg_roles r where rolname = $1",
    );
    let Some(row) = row.bind(role).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let mut faults = Vec::new();
    for (place, fault) in [
        "is a superuser, whom no policy binds",
        "bypasses row-level security",
        "may create roles",
        "may create databases",
        "may replicate, and so read everything",
    ]
    .into_iter()
    .enumerate()
    {
        if row.try_get(place)? {
            faults.push(fault.to_owned());
        }
    }
    if !row.try_get::<bool, _>(5)? {
        faults.push("cannot log in".to_owned());
    }
    if row.try_get(6)? {
        faults.push("owns objects, and an owner can drop their policies".to_owned());
    }
    let memberships: Vec<String> = row.try_get(7)?;
    if !memberships.is_empty() {
        faults.push(format!("is a member of {}", listed(&memberships, "")));
    }
    Ok(Some(faults))
}
