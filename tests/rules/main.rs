//! Rules of the source tree that no compiler keeps.
mod contract;
mod migrations;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use onekeel_operator::SERVICES;

const LONGEST_FILE: usize = 400;
/// Each crate may use only those before it; telemetry stands beside and uses none.
const LINE: [&str; 5] = ["api", "tenancy", "store", "gate", "server"];
/// Words that promise instead of doing; written in halves, so that this file does not break its own rule.
const PROMISES: [&str; 5] = [
    "TO\u{44}O",
    "FIX\u{4d}E",
    "unimplemented\u{21}",
    "todo\u{21}",
    "XX\u{58}:",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the project's root")
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["shared", "services", "tests"] {
        files(&root().join(folder), "rs", &mut found);
    }
    assert!(found.len() > 50, "the source tree was not found");
    found
        .into_iter()
        .map(|path| (path.clone(), std::fs::read_to_string(path).expect("text")))
        .collect()
}

fn uses(manifest: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(manifest).expect("a manifest");
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("onekeel-")?.split('.').next());
    names.map(str::to_owned).collect()
}

#[test]
fn arrows_between_crates_go_one_way() {
    let mut wrong = Vec::new();
    for (place, name) in LINE.iter().enumerate() {
        for used in uses(&root().join("shared").join(name).join("Cargo.toml")) {
            let before = LINE[..place].contains(&used.as_str());
            if !(before || *name == "server" && used == "telemetry") {
                wrong.push(format!("shared/{name} uses {used}"));
            }
        }
    }
    let telemetry = uses(&root().join("shared/telemetry/Cargo.toml"));
    assert!(telemetry.is_empty(), "telemetry uses {telemetry:?}");
    for service in SERVICES {
        for used in uses(&root().join("services").join(service).join("Cargo.toml")) {
            if !LINE.contains(&used.as_str()) {
                wrong.push(format!("services/{service} links {used}; services call one another"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let long: BTreeMap<_, _> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn nothing_is_promised_instead_of_done() {
    let promised: Vec<_> = sources()
        .into_iter()
        .flat_map(|(path, text)| {
            let words = PROMISES.into_iter().filter(move |word| text.contains(word));
            words.map(move |word| (path.clone(), word)).collect::<Vec<_>>()
        })
        .collect();
    assert!(promised.is_empty(), "{promised:?}");
}

#[test]
fn lints_are_expected_with_a_reason_never_allowed() {
    // The generated modules are the exception, in one place.
    let exception = root().join("shared/api/src/lib.rs");
    let attribute = format!("#[{}(", "allow");
    let allowed: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| *path != exception && text.contains(&attribute))
        .map(|(path, _)| path)
        .collect();
    assert!(allowed.is_empty(), "{allowed:?}");
}

#[test]
fn handlers_hold_no_sql_and_make_no_status() {
    let tables_of_contents = sources().into_iter().filter(|(path, _)| path.ends_with("service.rs"));
    let mut looked_at = 0;
    for (path, text) in tables_of_contents {
        looked_at += 1;
        for forbidden in ["sqlx::", "Status::new", "Status::invalid", "Status::internal"] {
            assert!(!text.contains(forbidden), "{} holds {forbidden}", path.display());
        }
    }
    assert!(looked_at >= SERVICES.len(), "{looked_at} tables of contents");
}

#[test]
fn every_service_is_a_process_of_the_stack() {
    let folders = std::fs::read_dir(root().join("services")).expect("a readable folder");
    let mut names: Vec<String> = folders
        .map(|entry| {
            entry
                .expect("a readable entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name != "operator")
        .collect();
    names.sort_unstable();
    let mut known = SERVICES.to_vec();
    known.sort_unstable();
    assert_eq!(names, known, "services/ and the operator's SERVICES");
}

#[test]
fn callers_of_methods_are_services() {
    let mut named = 0;
    for method in onekeel_tests::contract().expect("a contract") {
        for caller in &method.policy.callers {
            assert!(SERVICES.contains(&caller.as_str()), "{} names {caller}", method.name());
            named += 1;
        }
    }
    assert!(named > SERVICES.len(), "only {named} callers are named");
}

#[test]
fn pages_made_from_the_code_are_fresh() {
    let program = onekeel_tests::program("onekeel").expect("it was built with the tests");
    let checked = std::process::Command::new(program)
        .args(["docs", "--check"])
        .current_dir(root())
        .output()
        .expect("onekeel runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn every_server_packs_its_answers_for_those_who_ask() {
    for service in SERVICES {
        let path = root().join("services").join(service).join("src/lib.rs");
        let text = std::fs::read_to_string(&path).expect("the routes");
        let served = text.matches("ServiceServer::").count();
        let packed = text.matches(".accept_compressed(Gzip).send_compressed(Gzip)").count();
        assert!(
            served > 0 && served == packed,
            "{}: {served} services, {packed} of them with gzip",
            path.display()
        );
    }
}

/// A metric that nobody described would be shown without its meaning, and `docs/metrics.md` would lack it.
#[test]
fn every_metric_is_described() {
    let catalogue = root().join("shared/telemetry/src/catalogue.rs");
    let mut undescribed = Vec::new();
    for (path, text) in sources() {
        let ours = !path.starts_with(root().join("tests")) && path != catalogue;
        let macros = ["counter!(", "gauge!(", "histogram!("];
        let uses = macros.iter().flat_map(|name| text.split(name).skip(1));
        for used in uses.filter(|_| ours) {
            let name = used
                .trim_start()
                .strip_prefix("\"onekeel_")
                .and_then(|rest| rest.split('"').next());
            let Some(name) = name.map(|name| format!("onekeel_{name}")) else {
                continue;
            };
            if onekeel_telemetry::catalogue::find(&name).is_none() {
                undescribed.push(format!("{name} in {}", path.display()));
            }
        }
    }
    assert!(undescribed.is_empty(), "{undescribed:?}");
}
