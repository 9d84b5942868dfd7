//! How is the operator's chart installed, and what does its Deployment say?

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    apply::{apply, documents},
    cluster::Cluster,
    tools::{Tool, Tools},
};

/// The chart as installed: what an operator outside the cluster has to do as its Deployment would.
#[derive(Clone, Debug)]
pub struct Release {
    name: String,
    namespace: String,
    service_account: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    objects: Vec<Value>,
}

impl Release {
    /// Renders the chart in `folder` by helm.
    pub async fn render(
        tools: &Tools,
        folder: &Path,
        name: &str,
        namespace: &str,
        values: &Value,
    ) -> Result<Self> {
        let mut command = Command::new(tools.path(Tool::Helm));
        command.args(["template", name]).arg(folder);
        command.args([
            "--namespace",
            namespace,
            "--kube-version",
            "1.36.3",
            "--set-json",
        ]);
        // One root per flag is what helm takes here; `values` is a map.
        let sets: Vec<_> = values
            .as_object()
            .context("chart values are not a map")?
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        command.arg(sets.join(",")).kill_on_drop(true);
        let output = command.output().await.context("running helm")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("helm template {}: {}", folder.display(), said.trim());
        }
        let objects = documents(&String::from_utf8_lossy(&output.stdout))?;
        Self::read(name, namespace, objects)
    }

    fn read(name: &str, namespace: &str, objects: Vec<Value>) -> Result<Self> {
        let mut deployments = objects
            .iter()
            .filter(|object| object["kind"] == "Deployment");
        let (Some(deployment), None) = (deployments.next(), deployments.next()) else {
            bail!("the chart does not render exactly one Deployment");
        };
        let deployment: Deployment =
            serde_json::from_value(deployment.clone()).context("reading the Deployment")?;
        let pod = deployment.spec.and_then(|spec| spec.template.spec);
        let pod = pod.context("the Deployment has no pod spec")?;
        let service_account = pod
            .service_account_name
            .context("the pod has no ServiceAccount")?;
        let container = pod
            .containers
            .into_iter()
            .next()
            .context("the pod has no container")?;
        let mut env = BTreeMap::new();
        for variable in container.env.unwrap_or_default() {
            let field = variable.value_from.and_then(|source| source.field_ref);
            let value = match field.as_ref().map(|field| field.field_path.as_str()) {
                None => variable.value.unwrap_or_default(),
                Some("metadata.namespace") => namespace.to_owned(),
                Some("metadata.name") => format!("{name}-0"),
                Some("spec.serviceAccountName") => service_account.clone(),
                Some(other) => bail!("${} comes from {other}, unknown here", variable.name),
            };
            env.insert(variable.name, value);
        }
        let args = container.args.unwrap_or_default();
        let args = args.iter().map(|arg| expand(arg, &env)).collect();
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        Ok(Self {
            name,
            namespace,
            service_account,
            args,
            env,
            objects,
        })
    }

    /// Applies it, and makes Kubernetes' controllers know its kinds.
    pub(crate) async fn install(&self, cluster: &Cluster) -> Result<()> {
        let space = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": self.namespace },
        });
        apply(cluster.client(), None, &[space]).await?;
        // The Deployment gets no pods: nothing here runs them.
        apply(cluster.client(), Some(&self.namespace), &self.objects).await?;
        cluster.restart_controllers().await
    }

    /// The name of the release.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace of the release.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The ServiceAccount that the operator runs as.
    pub fn service_account(&self) -> &str {
        &self.service_account
    }

    /// The arguments of the container, with its variables filled in.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The environment of the container.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Every object of the chart.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }
}

/// Replaces `$(NAME)`, as the kubelet does.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in env {
        text = text.replace(&format!("$({name})"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(container: Value) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "x" },
            "spec": {
                "selector": {},
                "template": { "spec": {
                    "serviceAccountName": "operator",
                    "containers": [container],
                }},
            },
        })
    }

    #[test]
    fn the_deployment_says_how_the_operator_runs() {
        let field = json!({ "fieldRef": { "fieldPath": "metadata.namespace" } });
        let container = json!({
            "name": "controller",
            "args": ["controller", "--leader-election-namespace=$(POD_NAMESPACE)", "--v=$(V)"],
            "env": [{ "name": "POD_NAMESPACE", "valueFrom": field }, { "name": "V", "value": "2" }],
        });
        let service = json!({ "kind": "Service" });
        let release = Release::read("cw", "system", vec![service, deployment(container)]).unwrap();
        assert_eq!(
            release.args,
            ["controller", "--leader-election-namespace=system", "--v=2"]
        );
        assert_eq!(release.service_account, "operator");
        assert_eq!(release.env["POD_NAMESPACE"], "system");
    }

    #[test]
    fn what_cannot_be_run_outside_the_cluster_is_refused() {
        let field = json!({ "fieldRef": { "fieldPath": "status.hostIP" } });
        let container = json!({ "name": "c", "env": [{ "name": "X", "valueFrom": field }] });
        for objects in [
            vec![],
            vec![deployment(container.clone())],
            vec![
                deployment(json!({ "name": "c" })),
                deployment(json!({ "name": "c" })),
            ],
        ] {
            assert!(Release::read("cw", "system", objects).is_err());
        }
    }
}
