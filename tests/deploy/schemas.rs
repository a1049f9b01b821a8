//! Whether helm and Kubernetes take what the chart says, and refuse what is misspelt.
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_tests::{World, tool};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::chart::{folder, helm, text, value_sets};

/// Versions whose schemas are there: the oldest that the chart admits, and a new one.
const VERSIONS: [&str; 2] = ["1.30.0", "1.37.0"];

/// What kubeconform says, and whether it is content. Its schemas lack the one kind that is no part of Kubernetes.
async fn conform(manifests: &str, version: &str) -> anyhow::Result<(bool, String)> {
    let schemas = tool("kubeschemas").context("the tests were started without the schemas")?;
    let location = format!(
        "{}/v{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        schemas.display()
    );
    let mut child = Command::new(tool("kubeconform").context("the tests were started without kubeconform")?)
        .args(["-strict", "-summary", "-skip", "ServiceMonitor"])
        .args(["-kubernetes-version", version, "-schema-location", &location, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(manifests.as_bytes()).await?;
    drop(input);
    let ended = child.wait_with_output().await?;
    let said = [ended.stdout, ended.stderr].concat();
    Ok((ended.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

pub async fn every_value_set_is_linted_and_fits_the_schemas_of_kubernetes(_: Arc<World>) -> anyhow::Result<()> {
    for values in value_sets(&folder())? {
        let set = values.display();
        let linted = helm(&["lint", "--strict"], &folder(), Some(&values)).await?;
        ensure!(linted.code == Some(0), "{set}: {} {}", linted.out, linted.err);
        let manifests = text(&folder(), &values).await?;
        for version in VERSIONS {
            let (good, said) = conform(&manifests, version).await?;
            ensure!(good, "{set} with Kubernetes {version}: {said}");
            ensure!(!said.contains("Valid: 0"), "{set}: nothing was looked at: {said}");
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A copy of the chart in which `file` says something else.
fn changed(file: &str, right: &str, wrong: &str) -> anyhow::Result<tempfile::TempDir> {
    let home = tempfile::tempdir()?;
    copy(&folder(), home.path())?;
    let path = home.path().join(file);
    let before = std::fs::read_to_string(&path)?;
    ensure!(before.contains(right), "{file} holds no {right}");
    std::fs::write(&path, before.replace(right, wrong))?;
    Ok(home)
}

pub async fn a_misspelt_field_in_a_template_is_refused(_: Arc<World>) -> anyhow::Result<()> {
    for (file, right, wrong) in [
        ("templates/deployments.yaml", "readinessProbe:", "readynessProbe:"),
        (
            "templates/deployments.yaml",
            "terminationGracePeriodSeconds:",
            "terminationGraceSeconds:",
        ),
        (
            "templates/_pod.tpl",
            "readOnlyRootFilesystem:",
            "readOnlyRootFileSystem:",
        ),
        ("templates/services.yaml", "targetPort: grpc", "targetport: grpc"),
        (
            "templates/accounts.yaml",
            "automountServiceAccountToken:",
            "automountToken:",
        ),
        ("templates/budgets.yaml", "maxUnavailable:", "maxUnavailible:"),
        (
            "templates/autoscalers.yaml",
            "averageUtilization:",
            "averageUtilisation:",
        ),
        ("templates/network-policies.yaml", "policyTypes:", "policytypes:"),
        ("templates/migration.yaml", "backoffLimit:", "backOffLimit:"),
    ] {
        let chart = changed(file, right, wrong)?;
        let values = chart.path().join("ci/production-values.yaml");
        let (good, said) = conform(&text(chart.path(), &values).await?, VERSIONS[0]).await?;
        ensure!(
            !good && said.contains("additional properties"),
            "{file} with {wrong}: {said}"
        );
    }
    Ok(())
}

pub async fn a_misspelt_value_is_refused(_: Arc<World>) -> anyhow::Result<()> {
    for (right, wrong) in [
        ("replicas: 4", "replica: 4"),
        ("  lead:", "  leads:"),
        ("cpuPercent:", "cpuPercentage:"),
        ("drainSeconds:", "drainSecs:"),
        ("configMapName:", "configMap:"),
    ] {
        let chart = changed("ci/production-values.yaml", right, wrong)?;
        let values = chart.path().join("ci/production-values.yaml");
        let ran = helm(&["template", "release"], chart.path(), Some(&values)).await?;
        let named = wrong.trim().split(':').next().unwrap_or_default();
        ensure!(ran.code != Some(0) && ran.err.contains(named), "{wrong}: {}", ran.err);
    }
    Ok(())
}

pub async fn the_address_of_a_key_set_is_enough_for_an_installation(_: Arc<World>) -> anyhow::Result<()> {
    for (url, good) in [
        ("https://id.example.com/keys", true),
        ("ftp://id.example.com/keys", false),
        ("https://user:secret@id.example.com/keys", false),
        ("", false),
    ] {
        let setting = format!("jwt.jwks.url={url}");
        let arguments = ["template", "release", "--set", "jwt.issuer=id", "--set", &setting];
        let ran = helm(&arguments, &folder(), None).await?;
        ensure!((ran.code == Some(0)) == good, "{url:?}: {}", ran.err);
        ensure!(
            !good || ran.out.matches("JWT_JWKS_URL").count() == 4,
            "{url:?}: {}",
            ran.out
        );
    }
    Ok(())
}

pub async fn values_without_an_issuer_are_refused_with_a_sentence(_: Arc<World>) -> anyhow::Result<()> {
    let ran = helm(&["template", "release"], &folder(), None).await?;
    ensure!(
        ran.code != Some(0) && ran.err.contains("jwt.issuer: name the issuer"),
        "{}",
        ran.err
    );
    Ok(())
}
