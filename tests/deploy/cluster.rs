//! A cluster of one machine: runs the containers of rendered manifests as processes, and maps what a cluster would map.
//!
//! Volumes become folders, Services and ports become ports of the loopback interface, the image becomes the programs
//! that were built. Everything else is taken from the manifests as it stands.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use onekeel_operator::private::{Process, free_port};
use onekeel_operator::stack::endpoint;
use onekeel_tests::{program, run};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::chart::{Rendered, list, name, pod, selects};

const LONGEST_ANSWER: Duration = Duration::from_secs(2);

pub struct Cluster<'a> {
    rendered: &'a Rendered,
    /// One folder for each Secret and ConfigMap, named by what follows the first dash of its name.
    secrets: &'a Path,
    folder: TempDir,
    /// The port of the loopback interface, by Deployment and its container's port.
    ports: BTreeMap<(String, u64), u16>,
}

impl<'a> Cluster<'a> {
    pub fn new(rendered: &'a Rendered, secrets: &'a Path) -> anyhow::Result<Self> {
        let mut ports = BTreeMap::new();
        for deployment in rendered.of_kind("Deployment") {
            for port in list(&pod(deployment)["containers"][0]["ports"]) {
                let number = port["containerPort"].as_u64().context("a container's port")?;
                ports.insert((name(deployment).to_owned(), number), free_port()?);
            }
        }
        Ok(Self {
            rendered,
            secrets,
            folder: tempfile::tempdir()?,
            ports,
        })
    }

    /// Where a port of a Service leads: by its selector to one Deployment, by its target to a port of the container.
    pub fn service(&self, host: &str, port: u64) -> anyhow::Result<Option<u16>> {
        let Some(service) = self.rendered.of_kind("Service").find(|service| name(service) == host) else {
            return Ok(None);
        };
        let own = list(&service["spec"]["ports"]).iter().find(|own| own["port"] == port);
        let target = &own.with_context(|| format!("{host} has no port {port}"))?["targetPort"];
        let selector = &service["spec"]["selector"];
        let behind = self.rendered.of_kind("Deployment");
        let behind = behind.filter(|object| selects(selector, &object["spec"]["template"]["metadata"]["labels"]));
        let behind: Vec<_> = behind.collect();
        ensure!(behind.len() == 1, "{host} selects {} Deployments", behind.len());
        let ports = list(&pod(behind[0])["containers"][0]["ports"]);
        let found = ports
            .iter()
            .find(|own| own["name"] == *target || own["containerPort"] == *target);
        let found = found.and_then(|own| own["containerPort"].as_u64());
        let found = found.with_context(|| format!("{host} leads to no port of its pods"))?;
        Ok(Some(self.port(name(behind[0]), found)?))
    }

    /// Where a port of a Deployment's container listens.
    pub fn port(&self, deployment: &str, number: u64) -> anyhow::Result<u16> {
        let found = self.ports.get(&(deployment.to_owned(), number));
        found
            .copied()
            .with_context(|| format!("{deployment} declares no port {number}"))
    }

    fn source(&self, named: &str) -> anyhow::Result<PathBuf> {
        let (_, rest) = named.split_once('-').context("a name with a dash")?;
        Ok(self.secrets.join(rest.strip_prefix("onekeel-").unwrap_or(rest)))
    }

    fn put(&self, named: &str, items: &Value, target: &Path) -> anyhow::Result<()> {
        let source = self.source(named)?;
        for item in list(items) {
            let key = item["key"].as_str().context("a key")?;
            let path = item["path"].as_str().context("a path")?;
            std::fs::copy(source.join(key), target.join(path)).with_context(|| format!("{named} has no key {key}"))?;
        }
        Ok(())
    }

    /// The container's volumes as folders, by where they are mounted.
    fn mounts(&self, object: &Value) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let mut mounts = Vec::new();
        for mount in list(&pod(object)["containers"][0]["volumeMounts"]) {
            let path = mount["mountPath"].as_str().context("a path")?;
            let target = self.folder.path().join(name(object)).join(path.trim_start_matches('/'));
            std::fs::create_dir_all(&target)?;
            let volumes = list(&pod(object)["volumes"]);
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
            let volume = volume.with_context(|| format!("{path} mounts no volume"))?;
            for source in list(&volume["projected"]["sources"]) {
                let secret = &source["secret"];
                self.put(secret["name"].as_str().context("a Secret")?, &secret["items"], &target)?;
            }
            if let Some(map) = volume["configMap"]["name"].as_str() {
                self.put(map, &volume["configMap"]["items"], &target)?;
            }
            if let Some(secret) = volume["secret"]["secretName"].as_str() {
                self.put(secret, &volume["secret"]["items"], &target)?;
            }
            mounts.push((path.to_owned(), target));
        }
        Ok(mounts)
    }

    /// One address, file or word of a variable as this machine has it.
    fn map(&self, object: &Value, mounts: &[(String, PathBuf)], word: &str) -> anyhow::Result<String> {
        if let Some((path, target)) = mounts.iter().find(|(path, _)| word.starts_with(path.as_str())) {
            let mapped = format!("{}{}", target.display(), &word[path.len()..]);
            ensure!(Path::new(&mapped).exists(), "{word} is mounted by nothing");
            return Ok(mapped);
        }
        if let Some(port) = word.strip_prefix("0.0.0.0:") {
            return Ok(format!("127.0.0.1:{}", self.port(name(object), port.parse()?)?));
        }
        let Some((scheme, place)) = word.split_once("://") else {
            return Ok(word.to_owned());
        };
        let Some((host, port)) = place.split_once(':') else {
            return Ok(word.to_owned());
        };
        let port = self.service(host, port.parse()?)?;
        Ok(port.map_or_else(|| word.to_owned(), |port| format!("{scheme}://127.0.0.1:{port}")))
    }

    /// The command line of an object's container, with its arguments and environment.
    fn command(&self, object: &Value) -> anyhow::Result<Command> {
        let container = &pod(object)["containers"][0];
        let line = [list(&container["command"]), list(&container["args"])].concat();
        let mut line = line.iter().filter_map(Value::as_str);
        let path = Path::new(line.next().context("a command")?);
        let file = path.file_name().and_then(|file| file.to_str()).context("a program")?;
        let mut command = Command::new(program(file)?);
        command.args(line).env_clear();
        let mounts = self.mounts(object)?;
        for entry in list(&container["env"]) {
            let (Some(variable), Some(value)) = (entry["name"].as_str(), entry["value"].as_str()) else {
                bail!("{entry} has no value of its own");
            };
            let words = value.split(',').map(|word| self.map(object, &mounts, word));
            let words = words.collect::<anyhow::Result<Vec<_>>>()?;
            command.env(variable, words.join(","));
        }
        Ok(command)
    }

    /// Runs a Job to its end.
    pub async fn finish(&self, job: &Value) -> anyhow::Result<String> {
        let ran = run(&mut self.command(job)?).await?;
        ensure!(
            ran.code == Some(0),
            "{} ended with {:?}: {}{}",
            name(job),
            ran.code,
            ran.out,
            ran.err
        );
        Ok(ran.out)
    }

    /// Starts a Deployment's container.
    pub async fn start(&self, deployment: &Value) -> anyhow::Result<Process> {
        let log = self.folder.path().join(format!("{}.log", name(deployment)));
        Process::start(name(deployment), self.command(deployment)?, &log, None).await
    }

    /// Asks a probe as the kubelet would.
    pub async fn probe(&self, deployment: &Value, probe: &Value) -> anyhow::Result<bool> {
        if let Some(port) = probe["tcpSocket"]["port"].as_u64() {
            let address = ("127.0.0.1", self.port(name(deployment), port)?);
            return Ok(tokio::net::TcpStream::connect(address).await.is_ok());
        }
        let port = probe["grpc"]["port"].as_u64().context("a port of a probe")?;
        let address = format!("127.0.0.1:{}", self.port(name(deployment), port)?);
        let service = probe["grpc"]["service"].as_str().unwrap_or_default().to_owned();
        let ask = async {
            let channel = endpoint(&address, None)?.connect().await?;
            let answer = HealthClient::new(channel).check(HealthCheckRequest { service }).await?;
            anyhow::Ok(answer.into_inner().status() == ServingStatus::Serving)
        };
        Ok(matches!(tokio::time::timeout(LONGEST_ANSWER, ask).await, Ok(Ok(true))))
    }
}
