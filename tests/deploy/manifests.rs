//! What every manifest keeps, whatever the values.
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_operator::SERVICES;
use onekeel_tests::World;
use serde_json::Value;

use crate::chart::{Rendered, component, list, name, pod, selects, variable};

pub async fn every_service_of_the_suite_has_its_objects(_: Arc<World>) -> anyhow::Result<()> {
    for rendered in Rendered::all().await? {
        let set = &rendered.set;
        let mut found: Vec<_> = rendered.of_kind("Deployment").map(component).collect();
        let mut wanted = SERVICES.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        ensure!(found == wanted, "{set} deploys {found:?}");
        for deployment in rendered.of_kind("Deployment") {
            let shown = format!("{set}: {}", name(deployment));
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            ensure!(
                selects(&deployment["spec"]["selector"]["matchLabels"], labels),
                "{shown} misses its pods"
            );
            for (kind, path) in [
                ("Service", "/spec/selector"),
                ("PodDisruptionBudget", "/spec/selector/matchLabels"),
                ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ] {
                let some = rendered.of_kind(kind).count() > 0;
                let fit = rendered.of_kind(kind);
                let fit = fit.filter(|object| object.pointer(path).is_some_and(|selector| selects(selector, labels)));
                ensure!(
                    !some || fit.count() == 1,
                    "{shown} is not selected by exactly one {kind}"
                );
            }
            let account = pod(deployment)["serviceAccountName"].as_str().context("an account")?;
            ensure!(
                rendered.of_kind("ServiceAccount").any(|own| name(own) == account),
                "{shown} has no account"
            );
            let replicas = variable(&pod(deployment)["containers"][0], "REPLICAS").context("REPLICAS")?;
            let most = |object: &Value| {
                object["spec"]["replicas"]
                    .as_u64()
                    .or(object["spec"]["maxReplicas"].as_u64())
            };
            let scaled = rendered
                .of_kind("Deployment")
                .chain(rendered.of_kind("HorizontalPodAutoscaler"));
            let largest = scaled.filter_map(most).max().context("replicas")?;
            ensure!(
                replicas == largest.to_string(),
                "{shown}: REPLICAS is {replicas}, pods {largest}"
            );
        }
        ensure!(rendered.of_kind("Service").count() == SERVICES.len(), "{set}: Services");
    }
    Ok(())
}

pub async fn every_container_is_bounded_probed_and_confined(_: Arc<World>) -> anyhow::Result<()> {
    for rendered in Rendered::all().await? {
        for object in rendered.with_pods() {
            let shown = format!("{}: {}", rendered.set, name(object));
            let pod = pod(object);
            ensure!(pod["automountServiceAccountToken"] == false, "{shown} mounts a token");
            let security = &pod["securityContext"];
            ensure!(
                security["runAsNonRoot"] == true && security["runAsUser"].as_u64() > Some(0),
                "{shown} runs as root"
            );
            ensure!(
                security["seccompProfile"]["type"] == "RuntimeDefault",
                "{shown} has no seccomp profile"
            );
            let containers = list(&pod["containers"]);
            ensure!(containers.len() == 1, "{shown} has {} containers", containers.len());
            let container = &containers[0];
            let security = &container["securityContext"];
            ensure!(
                security["allowPrivilegeEscalation"] == false,
                "{shown} may gain privileges"
            );
            ensure!(
                security["readOnlyRootFilesystem"] == true,
                "{shown} may write its image"
            );
            ensure!(
                security["capabilities"]["drop"] == serde_json::json!(["ALL"]),
                "{shown} keeps capabilities"
            );
            for (side, resource) in [
                ("requests", "cpu"),
                ("requests", "memory"),
                ("limits", "cpu"),
                ("limits", "memory"),
            ] {
                ensure!(
                    container["resources"][side][resource].is_string(),
                    "{shown} has no {side} of {resource}"
                );
            }
            let command = container["command"][0].as_str().context("a command")?;
            ensure!(command.starts_with("/usr/bin/onekeel"), "{shown} runs {command}");
            if object["kind"] != "Deployment" {
                continue;
            }
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                let probe = &container[probe];
                ensure!(
                    probe["grpc"].is_object() != probe["tcpSocket"].is_object(),
                    "{shown}: {probe}"
                );
            }
            ensure!(
                !list(&pod["topologySpreadConstraints"]).is_empty(),
                "{shown} is not spread"
            );
        }
    }
    Ok(())
}

pub async fn the_migration_runs_before_everything_else(_: Arc<World>) -> anyhow::Result<()> {
    for rendered in Rendered::all().await? {
        let set = &rendered.set;
        let weight = |object: &Value| -> anyhow::Result<i64> {
            let annotations = &object["metadata"]["annotations"];
            ensure!(
                annotations["helm.sh/hook"] == "pre-install,pre-upgrade",
                "{set}: {} is no hook",
                name(object)
            );
            let weight = annotations["helm.sh/hook-weight"].as_str().context("a weight")?;
            Ok(weight.parse()?)
        };
        let jobs: Vec<_> = rendered.of_kind("Job").collect();
        ensure!(jobs.len() == 1, "{set}: {} Jobs", jobs.len());
        let account = &pod(jobs[0])["serviceAccountName"];
        let account = rendered
            .of_kind("ServiceAccount")
            .find(|own| own["metadata"]["name"] == *account);
        let account = account.with_context(|| format!("{set}: the Job has no account"))?;
        ensure!(
            weight(account)? < weight(jobs[0])?,
            "{set}: the account is made after the Job"
        );
        let hooks = rendered
            .objects
            .iter()
            .filter(|own| own["metadata"]["annotations"]["helm.sh/hook"].is_string());
        ensure!(hooks.count() == 2, "{set}: other hooks");
        ensure!(
            jobs[0]["spec"]["activeDeadlineSeconds"].is_u64(),
            "{set}: the Job may run for ever"
        );
    }
    Ok(())
}

pub async fn a_pod_has_more_time_to_end_than_its_calls(_: Arc<World>) -> anyhow::Result<()> {
    for rendered in Rendered::all().await? {
        for deployment in rendered.of_kind("Deployment") {
            let container = &pod(deployment)["containers"][0];
            let grace = pod(deployment)["terminationGracePeriodSeconds"]
                .as_u64()
                .context("a grace period")?;
            let drain: u64 = variable(container, "DRAIN_SECONDS").context("DRAIN_SECONDS")?.parse()?;
            let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
                .as_u64()
                .context("a pause")?;
            ensure!(
                grace > drain + pause,
                "{}: {grace} <= {drain} + {pause}",
                name(deployment)
            );
        }
    }
    Ok(())
}

pub async fn secrets_come_as_files_only(_: Arc<World>) -> anyhow::Result<()> {
    for rendered in Rendered::all().await? {
        let set = &rendered.set;
        ensure!(rendered.of_kind("Secret").count() == 0, "{set} holds a Secret");
        for object in rendered.with_pods() {
            for entry in list(&pod(object)["containers"][0]["env"]) {
                let name = entry["name"].as_str().context("a name")?;
                let words = ["SECRET", "PASSWORD", "KEY", "DATABASE_URL", "REDIS_URL"];
                if words.iter().any(|word| name.contains(word)) {
                    let value = entry["value"].as_str().unwrap_or_default();
                    ensure!(
                        name.ends_with("_FILE") && value.starts_with("/etc/onekeel/"),
                        "{set}: {entry}"
                    );
                }
            }
        }
        let text = serde_json::to_string(&rendered.objects)?;
        ensure!(
            !text.contains("PRIVATE KEY") && !text.contains("postgres://"),
            "{set} shows a secret"
        );
    }
    Ok(())
}

/// Kubernetes has no schema of this kind, so its fields are looked at here.
pub async fn a_service_monitor_selects_ports_that_are_there(_: Arc<World>) -> anyhow::Result<()> {
    let mut seen = 0;
    for rendered in Rendered::all().await? {
        for monitor in rendered.of_kind("ServiceMonitor") {
            seen += 1;
            ensure!(monitor["apiVersion"] == "monitoring.coreos.com/v1", "{monitor}");
            let spec = monitor["spec"].as_object().context("a spec")?;
            ensure!(spec.keys().eq(["endpoints", "selector"]), "{monitor}");
            let endpoint = monitor["spec"]["endpoints"][0].as_object().context("an endpoint")?;
            ensure!(
                endpoint.keys().eq(["interval", "path", "port"]) && endpoint["path"] == "/metrics",
                "{monitor}"
            );
            for service in rendered.of_kind("Service") {
                let labels = &service["metadata"]["labels"];
                ensure!(
                    selects(&monitor["spec"]["selector"]["matchLabels"], labels),
                    "{} is left out",
                    name(service)
                );
                let ports = list(&service["spec"]["ports"]);
                ensure!(
                    ports.iter().any(|port| port["name"] == endpoint["port"]),
                    "{} has no such port",
                    name(service)
                );
            }
        }
    }
    ensure!(seen > 0, "no value set has a ServiceMonitor");
    Ok(())
}
