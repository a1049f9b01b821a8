//! The evidence as a page that can be kept, compared and signed.
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::evidence::{Evidence, Table};
use super::findings::{Findings, listed};

const LONGEST: Duration = Duration::from_secs(120);
const ADVICE: &str = "read the report; servers refuse to start while a table's wall or a login is wrong";

/// Gathers the evidence, writes the page, and notes both among the findings.
pub async fn write(findings: &mut Findings, url: &str, file: &Path) {
    let name = "postgres.report";
    let evidence = match tokio::time::timeout(LONGEST, Evidence::gather(url)).await {
        Ok(Ok(evidence)) => evidence,
        Ok(Err(error)) => {
            let why = format!("nothing was written: {}", super::database::why(&error));
            return findings.failure(name, why, "use the login that runs the migrations");
        }
        Err(_) => return findings.failure(name, "nothing was written within 2 minutes", "look for locks and load"),
    };
    if let Err(error) = std::fs::write(file, page(&evidence)) {
        let why = format!("cannot write {}: {error}", file.display());
        return findings.failure(name, why, "name a file in a folder that can be written");
    }
    let faults = evidence.faults();
    if faults.is_empty() {
        findings.ok(name, format!("written to {}", file.display()));
    } else {
        findings.failure(name, format!("{}: {}", file.display(), listed(&faults, "")), ADVICE);
    }
}

/// The whole page; its last line is the digest of everything above.
fn page(evidence: &Evidence) -> String {
    let mut page = String::new();
    head(&mut page, evidence);
    tables(&mut page, evidence);
    logins(&mut page, evidence);
    functions(&mut page, evidence);
    tried(&mut page, evidence);
    let sum = digest(&SHA256, page.as_bytes());
    page.push_str("SHA-256 of everything above this line: `");
    for byte in sum.as_ref() {
        write!(page, "{byte:02x}").expect("a string takes it");
    }
    line(&mut page, "`");
    page
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn head(page: &mut String, evidence: &Evidence) {
    let place = &evidence.place;
    let faults = evidence.faults();
    let verdict = if faults.is_empty() {
        "**All walls stand.**".to_owned()
    } else {
        format!("**{} faults:** {}", faults.len(), faults.join("; "))
    };
    let last = evidence.migrations.last();
    write!(
        page,
        "# Walls between tenants\n\n{verdict}\n\n\
         | | |\n|---|---|\n\
         | looked at | {} UTC, in one snapshot, by `{}` with onekeel {} |\n\
         | database | `{}` of the PostgreSQL system {}, version {} |\n\
         | migrations | {}, the last is {} with the checksum `{}` |\n\n",
        place.at,
        place.login,
        env!("CARGO_PKG_VERSION"),
        place.database,
        place.system,
        place.version,
        evidence.migrations.len(),
        last.map_or(0, |(version, _)| *version),
        last.map_or("", |(_, checksum)| checksum.as_str()),
    )
    .expect("a string takes it");
}

fn tables(page: &mut String, evidence: &Evidence) {
    line(page, "## Tables of tenants\n");
    line(
        page,
        "Each must have row-level security, forced on its owner as well, one policy, and the tenant first in every key and index.\n",
    );
    line(
        page,
        "| table | security | forced | policy | keys without the tenant | verdict |\n|---|---|---|---|---|---|",
    );
    let (reviewed, own): (Vec<&Table>, Vec<&Table>) = evidence.tables.iter().partition(|table| table.is_reviewed());
    for table in own {
        let yes = |yes: bool| if yes { "yes" } else { "NO" };
        let policies = table.policies.iter().map(|policy| format!("`{policy}`"));
        let row = format!(
            "| {} | {} | {} | {} | {} | {} |",
            table.name,
            yes(table.enabled),
            yes(table.forced),
            listed(&policies.collect::<Vec<_>>(), "NONE"),
            listed(&table.loose, "none"),
            if table.is_walled() { "walled" } else { "FAULT" }
        );
        line(page, &row);
    }
    line(
        page,
        "\n## Tables that belong to no tenant\n\nCatalogues and directories; they hold no tenant's content and are reviewed by hand.\n",
    );
    for table in reviewed {
        line(page, &format!("- {}", table.name));
    }
    page.push('\n');
}

fn logins(page: &mut String, evidence: &Evidence) {
    line(
        page,
        "## Logins of the servers\n\nNone may be a superuser, bypass row-level security, own anything or act as another.\n",
    );
    for login in &evidence.logins {
        let text = format!(
            "- **{}**: superuser {}, bypasses row-level security {}, owns {} relations, member of {}; may {}",
            login.name,
            login.superuser,
            login.bypasses,
            login.owns,
            listed(&login.member_of, "nothing"),
            listed(&login.rights, "nothing")
        );
        line(page, &text);
    }
    page.push('\n');
}

fn functions(page: &mut String, evidence: &Evidence) {
    line(
        page,
        "## Functions that run with their owner's rights\n\nEach must pin where it looks for names, and not everybody may call it.\n",
    );
    line(
        page,
        "| function | owner | pins | may be called by | verdict |\n|---|---|---|---|---|",
    );
    for function in &evidence.functions {
        let row = format!(
            "| `{}` | {} | `{}` | {} | {} |",
            function.name,
            function.owner,
            function.pinned,
            listed(&function.callers, "its owner only"),
            if function.is_open() { "FAULT" } else { "closed" }
        );
        line(page, &row);
    }
    page.push('\n');
}

fn tried(page: &mut String, evidence: &Evidence) {
    line(
        page,
        "## What was tried\n\nAs each login, with no tenant set, each tenant's table that it may read was asked whether it has a row. None may show one.\n",
    );
    for login in evidence.logins.iter().filter(|login| !login.can_be_tried) {
        line(
            page,
            &format!(
                "- {}: **not tried**, since `{}` may not act as it",
                login.name, evidence.place.login
            ),
        );
    }
    for tried in &evidence.tried {
        let seen = if tried.seen { "SHOWS ROWS" } else { "shows nothing" };
        line(page, &format!("- {} to {}: {seen}", tried.table, tried.login));
    }
    page.push('\n');
}
