//! Whether the chart's readme says everything, and the chart nothing that its programs do not know.
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_tests::{World, output, program};
use serde_json::Value;
use tokio::process::Command;

use crate::chart::{Rendered, folder, list, name, pod};

fn readme() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(folder().join("README.md"))?)
}

/// Every value by its path, with its default.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value.as_object().filter(|inner| !inner.is_empty()) {
        Some(inner) => {
            for (key, value) in inner {
                leaves(&format!("{path}.{key}"), value, found);
            }
        }
        None => {
            found.insert(path.trim_start_matches('.').to_owned(), value.to_string());
        }
    }
}

pub async fn every_value_stands_in_the_readme_with_its_default(_: Arc<World>) -> anyhow::Result<()> {
    let values: Value = serde_saphyr::from_str(&std::fs::read_to_string(folder().join("values.yaml"))?)?;
    let mut wanted = BTreeMap::new();
    leaves("", &values, &mut wanted);
    let text = readme()?;
    let (_, table) = text.split_once("## Values").context("a table of values")?;
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split("` | `");
        let (path, rest) = (cells.next()?, cells.next()?);
        Some((path.to_owned(), rest.split('`').next()?.to_owned()))
    });
    let found: BTreeMap<_, _> = rows.collect();
    ensure!(
        found == wanted,
        "the readme has {found:#?}, and the values are {wanted:#?}"
    );
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(folder().join("values.schema.json"))?)?;
    strict("", &schema)
}

/// Every object of the schema with named properties admits no others.
fn strict(path: &str, schema: &Value) -> anyhow::Result<()> {
    if schema["properties"].is_object() {
        ensure!(schema["additionalProperties"] == false, "{path} admits any property");
    }
    let inner = ["properties", "$defs"]
        .into_iter()
        .filter_map(|key| schema[key].as_object());
    for (key, value) in inner.flatten() {
        strict(&format!("{path}/{key}"), value)?;
    }
    strict_items(path, schema)
}

fn strict_items(path: &str, schema: &Value) -> anyhow::Result<()> {
    schema
        .get("items")
        .map_or(Ok(()), |items| strict(&format!("{path}/items"), items))
}

pub async fn every_key_that_is_mounted_stands_in_the_readme(_: Arc<World>) -> anyhow::Result<()> {
    let text = readme()?;
    let mut seen = 0;
    // The other sets name Secrets of their own.
    for rendered in Rendered::all()
        .await?
        .iter()
        .filter(|rendered| !rendered.set.contains("production"))
    {
        for object in rendered.with_pods() {
            for volume in list(&pod(object)["volumes"]) {
                let projected = list(&volume["projected"]["sources"])
                    .iter()
                    .map(|source| &source["secret"]);
                for source in projected.chain([&volume["configMap"], &volume["secret"]]) {
                    let named = source["name"].as_str().or(source["secretName"].as_str());
                    let Some(named) = named else { continue };
                    let row = text.lines().find(|line| line.starts_with(&format!("| `{named}` |")));
                    let row = row.with_context(|| format!("{named} is not in the readme"))?;
                    for item in list(&source["items"]) {
                        let key = item["key"].as_str().context("a key")?;
                        ensure!(row.contains(&format!("`{key}`")), "{named} has no {key} in the readme");
                        seen += 1;
                    }
                }
            }
        }
    }
    ensure!(seen > 40, "only {seen} keys were found");
    Ok(())
}

pub async fn every_variable_is_a_setting_of_its_program(_: Arc<World>) -> anyhow::Result<()> {
    // The one that a value set adds by itself.
    let foreign = "NO_COLOR";
    for rendered in Rendered::all().await? {
        for object in rendered.with_pods() {
            let container = &pod(object)["containers"][0];
            let path = container["command"][0].as_str().context("a command")?;
            let file = path.rsplit('/').next().context("a program")?;
            let arguments = list(&container["args"]).iter().filter_map(Value::as_str);
            let mut command = Command::new(program(file)?);
            let (good, help) = output(command.args(arguments).arg("--help")).await?;
            ensure!(good, "{path}: {help}");
            for entry in list(&container["env"]) {
                let variable = entry["name"].as_str().context("a name")?;
                // Help of the migration names passwords, and says that each may be a file.
                let plain = if object["kind"] == "Job" {
                    variable.trim_end_matches("_FILE")
                } else {
                    variable
                };
                ensure!(
                    variable == foreign || help.contains(plain),
                    "{}: {path} knows no {variable}",
                    name(object)
                );
            }
        }
    }
    Ok(())
}
