//! Migrations are numbered, wall what they make, and stay what they were when they landed.
use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

use crate::{files, root};

/// `sha256sum` of every migration, in order.
const CHECKSUMS: &str = "migrations/checksums";

/// The text of every migration by the name of its file.
fn migrations() -> BTreeMap<String, String> {
    let mut found = Vec::new();
    files(&root().join("migrations"), "sql", &mut found);
    let named = found.into_iter().map(|path| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("SQL"))
    });
    named.collect()
}

#[test]
fn they_are_numbered_without_a_gap() {
    let numbers: Vec<usize> = migrations()
        .keys()
        .map(|name| {
            name.get(..4)
                .and_then(|digits| digits.parse().ok())
                .expect("four digits first")
        })
        .collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

#[test]
fn tables_are_walled_where_they_are_made() {
    for (name, text) in migrations() {
        let made = text
            .lines()
            .filter(|line| line.trim_start().starts_with("client_id uuid not null"))
            .count();
        let walled = text.matches("select onekeel.tenant_table(").count();
        assert_eq!(made, walled, "{name}: tables with client_id, and walls");
    }
}

#[test]
fn what_has_landed_is_never_edited() {
    let list = std::fs::read_to_string(root().join(CHECKSUMS)).expect("the list of checksums");
    let landed: BTreeMap<&str, &str> = list
        .lines()
        .map(|line| line.split_once("  ").expect("a checksum, two spaces, a name"))
        .map(|(sum, name)| (name, sum))
        .collect();
    let mut present = migrations();
    for (name, sum) in landed {
        let text = present.remove(name);
        let text = text.unwrap_or_else(|| panic!("{name} has landed and is gone; what must change is a new file"));
        assert_eq!(
            sha256(&text),
            sum,
            "{name} has landed: databases have run it as it was. Undo the edit and write a new file"
        );
    }
    let lines: Vec<String> = present
        .iter()
        .map(|(name, text)| format!("{}  {name}", sha256(text)))
        .collect();
    assert!(lines.is_empty(), "add to {CHECKSUMS}:\n{}", lines.join("\n"));
}

fn sha256(text: &str) -> String {
    use std::fmt::Write;
    let sum = digest(&SHA256, text.as_bytes());
    sum.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes it");
        hex
    })
}
