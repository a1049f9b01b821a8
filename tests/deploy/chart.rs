//! The chart, rendered by the real helm.
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use onekeel_tests::{Ran, run, tool};
use serde_json::Value;
use tokio::process::Command;

/// The oldest version that the chart admits; helm alone would assume an older one.
pub const KUBERNETES: &str = "v1.30.0";

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn folder() -> PathBuf {
    root().join("deploy/helm/onekeel")
}

/// Files with values below a chart, in order.
pub fn value_sets(chart: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(chart.join("ci"))?;
    let mut files: Vec<_> = listed.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    ensure!(files.len() >= 4, "value sets are missing: {files:?}");
    Ok(files)
}

pub async fn helm(arguments: &[&str], chart: &Path, values: Option<&Path>) -> anyhow::Result<Ran> {
    let program = tool("helm").context("the tests were started without helm")?;
    let mut command = Command::new(program);
    command.args(arguments).arg(chart).args(["--kube-version", KUBERNETES]);
    if let Some(values) = values {
        command.arg("--values").arg(values);
    }
    run(&mut command).await
}

/// The text of all manifests.
pub async fn text(chart: &Path, values: &Path) -> anyhow::Result<String> {
    let ran = helm(&["template", "release"], chart, Some(values)).await?;
    ensure!(ran.code == Some(0), "{}: {}", values.display(), ran.err);
    Ok(ran.out)
}

/// The manifests of one value set.
pub struct Rendered {
    pub set: String,
    pub objects: Vec<Value>,
}

impl Rendered {
    pub async fn of(values: &Path) -> anyhow::Result<Self> {
        let text = text(&folder(), values).await?;
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        let objects: Vec<Value> = objects.into_iter().filter(|object| !object.is_null()).collect();
        ensure!(!objects.is_empty(), "{} renders nothing", values.display());
        Ok(Self {
            set: values.display().to_string(),
            objects,
        })
    }

    /// Every value set.
    pub async fn all() -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for values in value_sets(&folder())? {
            all.push(Self::of(&values).await?);
        }
        Ok(all)
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// Objects with pods: the Deployments and the Job.
    pub fn with_pods(&self) -> impl Iterator<Item = &Value> {
        self.objects
            .iter()
            .filter(|object| object["spec"]["template"]["spec"].is_object())
    }
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The part of the suite that an object belongs to, for example `lead`.
pub fn component(object: &Value) -> &str {
    object["metadata"]["labels"]["app.kubernetes.io/component"]
        .as_str()
        .unwrap_or_default()
}

pub fn pod(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The value of an environment variable of a container.
pub fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let found = list(&container["env"]).iter().find(|entry| entry["name"] == name);
    found?["value"].as_str()
}

/// Whether these labels are among those.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    selector
        .as_object()
        .is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}
