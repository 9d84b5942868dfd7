//! How does a test run helm, and look at what it renders?

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::Value;
use testbed::{
    home::Home,
    progress::Progress,
    tools::{Tool, Tools},
};
use tokio::runtime::Runtime;

pub(crate) const CHART: &str = "charts/certwright";
pub(crate) const CERT_MANAGER_CHART: &str = "tests/fixtures/cert-manager-chart";
pub(crate) const CERT_MANAGER_VALUES: &str = "tests/fixtures/cert-manager-values.yaml";

/// `helm template`: the chart, the release and its values.
#[derive(Clone)]
pub(crate) struct Render {
    chart: &'static str,
    release: &'static str,
    arguments: Vec<String>,
}

impl Render {
    pub(crate) fn of(release: &'static str) -> Self {
        Self {
            chart: CHART,
            release,
            arguments: Vec::new(),
        }
    }

    pub(crate) fn chart(mut self, chart: &'static str) -> Self {
        self.chart = chart;
        self
    }

    pub(crate) fn values_file(self, path: &str) -> Self {
        self.argument("--values", path)
    }

    /// Sets one value; `value` is taken as it is, not parsed for commas and dots.
    pub(crate) fn set(self, path: &str, value: impl Into<Value>) -> Self {
        self.argument("--set-json", &format!("{path}={}", value.into()))
    }

    pub(crate) fn argument(mut self, flag: &str, value: &str) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn run(&self) -> Output {
        helm(
            ["template", self.release, self.chart]
                .into_iter()
                // What helm knows by itself depends on how it was built.
                .chain(["--namespace", "pki", "--kube-version", "1.36.0"])
                .chain(self.arguments.iter().map(String::as_str)),
        )
    }

    pub(crate) fn objects(&self) -> Objects {
        let output = self.run();
        assert!(output.status.success(), "{}", stderr(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        Objects(serde_saphyr::from_multiple(&text).unwrap())
    }

    pub(crate) fn refusal(&self) -> String {
        let output = self.run();
        assert!(!output.status.success(), "accepted: {:?}", self.arguments);
        stderr(&output)
    }
}

/// What a chart renders to.
pub(crate) struct Objects(pub(crate) Vec<Value>);

impl Objects {
    pub(crate) fn all(&self, kind: &str) -> Vec<&Value> {
        self.0
            .iter()
            .filter(|object| object["kind"] == kind)
            .collect()
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        let mut named = self
            .all(kind)
            .into_iter()
            .filter(|object| object["metadata"]["name"] == name);
        let found = named.next();
        assert!(named.next().is_none(), "two of {kind} {name}");
        found
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name)
            .unwrap_or_else(|| panic!("{kind} {name} among {:?}", self.names()))
    }

    pub(crate) fn deployment(&self) -> &Value {
        let all = self.all("Deployment");
        assert_eq!(all.len(), 1);
        all[0]
    }

    pub(crate) fn pod(&self) -> &Value {
        &self.deployment()["spec"]["template"]["spec"]
    }

    pub(crate) fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }

    pub(crate) fn arguments(&self) -> Vec<&str> {
        let arguments = self.container()["args"].as_array().unwrap();
        arguments.iter().map(|a| a.as_str().unwrap()).collect()
    }

    /// Kind and name of each.
    pub(crate) fn names(&self) -> BTreeSet<(String, String)> {
        let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.0
            .iter()
            .map(|object| (name(&object["kind"]), name(&object["metadata"]["name"])))
            .collect()
    }

    /// Every rule of the Roles and ClusterRoles whose name `wanted` likes.
    pub(crate) fn rules(&self, wanted: impl Fn(&str) -> bool) -> Vec<&Value> {
        ["Role", "ClusterRole"]
            .into_iter()
            .flat_map(|kind| self.all(kind))
            .filter(|role| wanted(role["metadata"]["name"].as_str().unwrap()))
            .flat_map(|role| role["rules"].as_array().unwrap())
            .collect()
    }
}

/// The verbs that `rules` give on a resource.
pub(crate) fn verbs<'a>(rules: &[&'a Value], group: &str, resource: &str) -> BTreeSet<&'a str> {
    rules
        .iter()
        .filter(|rule| {
            contains(&rule["apiGroups"], group) && contains(&rule["resources"], resource)
        })
        .flat_map(|rule| rule["verbs"].as_array().unwrap())
        .map(|verb| verb.as_str().unwrap())
        .collect()
}

pub(crate) fn contains(list: &Value, wanted: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.iter().any(|item| item == wanted))
}

pub(crate) fn helm<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(helm_path())
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Defaults and cluster of whoever runs the test are none of its business.
        .env_remove("KUBECONFIG")
        .output()
        .unwrap()
}

pub(crate) fn helm_path() -> &'static Path {
    static HELM: LazyLock<PathBuf> = LazyLock::new(|| {
        let runtime = Runtime::new().unwrap();
        let tools = runtime.block_on(Tools::ready(&Home::from_env(), Progress::quiet()));
        tools.unwrap().path(Tool::Helm).to_owned()
    });
    &HELM
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
