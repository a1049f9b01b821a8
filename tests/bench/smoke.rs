//! The benchmark works, and every answer that it counts is right. How fast anything is, nobody asks here: the servers are
//! built for debugging, and others work on the machine.
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use onekeel_tests::program;
use serde_json::Value;

const ROWS: [&str; 11] = [
    "control",
    "echo",
    "get",
    "hit",
    "list",
    "create",
    "import",
    "allowance",
    "fairness",
    "memory",
    "reserve",
];
const SMALL: [&str; 12] = [
    "ratios",
    "--force",
    "--rounds",
    "1",
    "--seconds",
    "0.2",
    "--streams",
    "16",
    "--tenants",
    "20",
    "--rows",
    "2000",
];

/// What `--rounds 1` gives: a percentile is taken from more rounds than a mean.
fn rounds(row: &Value) -> usize {
    if row == "fairness" { 4 } else { 1 }
}

fn bench(arguments: &[&str]) -> Output {
    let program = program("onekeel-bench").expect("it was built with the tests");
    Command::new(program)
        .args(arguments)
        .output()
        .expect("onekeel-bench runs")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it was written")
}

#[test]
fn every_row_is_measured_with_right_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let (json, svg, page) = (file("run.json"), file("run.svg"), file("page.md"));
    let shown = [&json, &svg, &page].map(|path| path.to_str().expect("text").to_owned());
    std::fs::write(
        &page,
        "# Speed\n\n<!-- bench ratios -->\nold\n<!-- end ratios -->\n\n## Notes\n",
    )
    .expect("a page");
    let wanted = ["--json", &shown[0], "--plot", &shown[1], "--markdown", &shown[2]];
    let ran = bench(&[&SMALL[..], &wanted].concat());
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let run: Value = serde_json::from_str(&text(&json)).expect("JSON");
    let outcomes = run["outcomes"].as_array().expect("rows");
    let named: BTreeSet<&str> = outcomes.iter().filter_map(|outcome| outcome["name"].as_str()).collect();
    assert_eq!(named, ROWS.into_iter().collect(), "{run}");
    for outcome in outcomes {
        let measured = outcome["values"]
            .as_array()
            .is_some_and(|values| values.len() == rounds(&outcome["name"]) && values.iter().all(Value::is_number));
        assert!(measured, "{outcome}");
    }
    assert!(run["forced"] == true && run["machine"]["release"] == false, "{run}");

    let page = text(&page);
    assert!(
        page.starts_with("# Speed") && page.ends_with("## Notes\n") && !page.contains("old"),
        "{page}"
    );
    assert!(page.contains("**FORCED") && page.contains("**DEBUG"), "{page}");
    assert!(
        text(&svg).matches("<circle").count() >= ROWS.len(),
        "a dot for each round"
    );
}

#[test]
fn a_row_that_is_not_there_is_told_before_anything_starts() {
    let ran = bench(&["--force", "--only", "nothing"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        !ran.status.success() && said.contains("--only nothing") && said.contains("control"),
        "{said}"
    );
}
