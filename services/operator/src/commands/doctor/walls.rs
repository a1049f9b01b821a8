//! The walls between tenants and between services.
use onekeel_operator::{SERVICES, login_of};
use onekeel_store::{SCHEMAS, Store, StoreConfig};
use sqlx::{PgConnection, Row};

use super::findings::{Findings, listed};

/// What a service may do outside of its own schema: know its tenant, charge, add what its tenant used, and tell the trail.
const ABROAD: [(&str, &str); 7] = [
    ("audit.events", "INSERT"),
    ("tenant.clients", "SELECT"),
    ("quota.charges", "INSERT"),
    ("quota.releases", "INSERT"),
    ("quota.usage_days", "INSERT"),
    ("quota.usage_days", "SELECT"),
    ("quota.usage_days", "UPDATE"),
];

/// Who reads the trail.
const AUDITOR: (&str, &str, &str) = ("onekeel_tenant", "audit.events", "SELECT");

/// The policy of every table, by the same check that servers make before they listen.
pub async fn policies(findings: &mut Findings, url: &str) {
    let config = StoreConfig {
        url: url.to_owned(),
        max_connections: 1,
        application: "onekeel-doctor".to_owned(),
        cache: None,
    };
    let looked = async {
        let store = Store::connect(config).await?;
        let crooked = store.crooked_tables().await;
        store.close().await;
        crooked
    };
    let name = "postgres.policies";
    match looked.await {
        Ok(crooked) if crooked.is_empty() => findings.ok(name, "every table has its wall"),
        Ok(crooked) => findings.failure(
            name,
            crooked.join("; "),
            "an empty database needs `onekeel migrate`; a table's wall is put back by dropping its policies and then select onekeel.tenant_table('<schema>.<table>'); servers refuse to start until then",
        ),
        Err(fault) => findings.warning(name, format!("could not look: {fault}"), "use the login that runs the migrations"),
    }
}

/// What the logins, and everybody, may do with the tables.
pub async fn rights(findings: &mut Findings, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let logins: Vec<String> = SERVICES.map(login_of).to_vec();
    let schemas = SCHEMAS.map(str::to_owned).to_vec();
    let tables = sqlx::query(
        "select coalesce(g.rolname::text, 'everybody'), n.nspname::text, n.nspname || '.' || c.relname, a.privilege_type
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
            cross join lateral aclexplode(c.relacl) a left join pg_roles g on g.oid = a.grantee
        where n.nspname = any($1) and (a.grantee = 0 or g.rolname = any($2))
        order by 1, 3, 4",
    );
    let tables = tables.bind(&schemas).bind(&logins).fetch_all(&mut *connection).await?;
    let mut excess = Vec::new();
    for row in &tables {
        let (who, schema): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (table, right): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let own = who.strip_prefix("onekeel_") == Some(schema.as_str());
        let harmless = !["TRUNCATE", "TRIGGER", "REFERENCES"].contains(&right.as_str());
        let abroad = who != "everybody" && ABROAD.contains(&(table.as_str(), right.as_str()));
        let audits = AUDITOR == (who.as_str(), table.as_str(), right.as_str());
        if !(own && harmless || abroad || audits) {
            excess.push(format!("{who}: {} on {table}", right.to_lowercase()));
        }
    }
    let create = sqlx::query(
        "select r.rolname::text, n.nspname::text from pg_roles r cross join pg_namespace n
        where n.nspname = any($1) and r.rolname = any($2) and has_schema_privilege(r.oid, n.oid, 'create')
        order by 1, 2",
    );
    for row in create.bind(&schemas).bind(&logins).fetch_all(connection).await? {
        let (who, schema): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        excess.push(format!("{who}: create in schema {schema}"));
    }
    let name = "postgres.rights";
    if excess.is_empty() {
        findings.ok(
            name,
            "each login has rights on its own schema, and may know its tenant, charge, count its use and tell the trail",
        );
    } else {
        findings.failure(name, format!("too many: {}", listed(&excess, "")), "revoke them");
    }
    Ok(())
}
