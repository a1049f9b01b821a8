//! What a statement does, in a few words for people who read traces: operations and the tables that they touch.

const LONGEST: usize = 255;

/// For example `INSERT lead.leads INSERT quota.charges`. Only names with a schema count: the others are the
/// statement's own. A statement without any is named by its first word.
pub(crate) fn summary(sql: &str) -> String {
    let mut words = sql.split_whitespace().peekable();
    let mut parts: Vec<String> = Vec::new();
    let mut selecting = false;
    let mut before = "";
    while let Some(word) = words.next() {
        let plain = word.trim_start_matches('(');
        let next = words.peek().copied().unwrap_or_default();
        match plain {
            "select" => {
                selecting = true;
                if let Some(name) = name(next).filter(|_| next.contains('(')) {
                    parts.push(format!("SELECT {name}"));
                    selecting = false;
                }
            }
            "into" if before == "insert" => push(&mut parts, "INSERT", next),
            "from" if before == "delete" => push(&mut parts, "DELETE", next),
            "from" | "join" if selecting => push(&mut parts, "SELECT", next),
            // Not the lock of a select, nor what an insert does instead.
            "update" if !matches!(before, "for" | "key" | "do") => push(&mut parts, "UPDATE", next),
            _ => {}
        }
        if matches!(plain, "insert" | "delete" | "update") && !matches!(before, "for" | "key" | "do") {
            selecting = false;
        }
        before = plain;
    }
    parts.dedup();
    let mut summary = parts.join(" ");
    if summary.is_empty() {
        summary = sql.split_whitespace().next().unwrap_or("statement").to_uppercase();
    }
    summary.truncate(LONGEST);
    summary
}

fn push(parts: &mut Vec<String>, operation: &str, word: &str) {
    // Every statement that is a transaction of its own sets its tenant.
    if let Some(name) = name(word).filter(|name| *name != "onekeel.set_tenant") {
        parts.push(format!("{operation} {name}"));
    }
}

/// The qualified name that a word begins with.
fn name(word: &str) -> Option<&str> {
    let end = word.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '.'));
    let name = &word[..end.unwrap_or(word.len())];
    let (schema, table) = name.split_once('.')?;
    let letters = schema.starts_with(|letter: char| letter.is_ascii_lowercase());
    (letters && !table.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn a_statement_is_named_by_what_it_does_to_which_table() {
        for (sql, said) in [
            (
                "with row as ( insert into lead.leads (id) values ($1) returning *), charge as (
                    insert into quota.charges (client_id) values ($2) ) select id from row",
                "INSERT lead.leads INSERT quota.charges",
            ),
            (
                "with tenant as materialized ( select $1::uuid as client_id from onekeel.set_tenant($1) ), row as (
                    insert into lead.leads (client_id) select client_id from tenant returning client_id )
                select audit.note(client_id, $2) from row",
                "INSERT lead.leads SELECT audit.note",
            ),
            (
                "select used from quota.usage where client_id = $1 for no key update",
                "SELECT quota.usage",
            ),
            ("select lead.count_leads($1) as \"count!\"", "SELECT lead.count_leads"),
            ("select id, 1.5 from lead.get_lead($1, $2)", "SELECT lead.get_lead"),
            (
                "update quota.usage set used = used + $3 where client_id = $1",
                "UPDATE quota.usage",
            ),
            (
                "with gone as (delete from quota.charges where client_id = $1 returning units) select sum(units) from gone",
                "DELETE quota.charges",
            ),
            (
                "select a.id from quota.assignments a join quota.plans p on p.id = a.plan_id",
                "SELECT quota.assignments SELECT quota.plans",
            ),
            (
                "insert into a.b (id) values ($1) on conflict (id) do update set x = 1",
                "INSERT a.b",
            ),
            ("select 1", "SELECT"),
            ("", "STATEMENT"),
        ] {
            assert_eq!(summary(sql), said, "{sql}");
        }
    }
}
