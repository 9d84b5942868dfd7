//! Which ingress controller serves the test bed, and where does it listen?

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    apply::apply,
    cluster::Cluster,
    folder::Folder,
    process::{Launcher, Process, Program, ports},
    tools::{Tool, Tools},
};

/// The name of the ingress class.
pub const CLASS: &str = "traefik";

/// Traefik, as its own chart would run it, but outside the cluster.
#[derive(Debug)]
pub struct Ingress {
    _process: Process,
    http: SocketAddr,
    https: SocketAddr,
}

impl Ingress {
    /// Starts it on `address`.
    pub async fn start(
        folder: &Folder,
        launcher: &Launcher,
        tools: &Tools,
        cluster: &Cluster,
        address: IpAddr,
    ) -> Result<Self> {
        permit(cluster).await?;
        let access = cluster
            .access()
            .with_service_account(cluster.client(), "kube-system", "traefik")
            .await?;
        let kubeconfig = folder.write("traefik.kubeconfig", access.text()?)?;
        let web = crate::web::client(&[])?;
        ports::avoiding(async || {
            let http = SocketAddr::from((address, ports::free()?));
            let https = SocketAddr::from((address, ports::free()?));
            let ping = format!("127.0.0.1:{}", ports::free()?);
            let program = Program::new("traefik", tools.path(Tool::Traefik))
                .env("KUBECONFIG", &kubeconfig)
                .arg(format!("--entrypoints.web.address={http}"))
                .arg(format!("--entrypoints.websecure.address={https}"))
                .arg(format!("--entrypoints.ping.address={ping}"))
                .args(["--ping=true", "--ping.entrypoint=ping"])
                .arg("--providers.kubernetesingress=true")
                .arg(format!(
                    "--providers.kubernetesingress.ingressclass={CLASS}"
                ))
                // Without an address it writes into no Ingress: it does so at five a second, and
                // serves nothing new meanwhile.
                // It would otherwise gather changes for 2 s.
                .arg("--providers.providersthrottleduration=50ms")
                .args([
                    "--global.checknewversion=false",
                    "--global.sendanonymoususage=false",
                ])
                .args(["--log.level=INFO", "--log.nocolor=true"]);
            let mut process = launcher.start(&program).await?;
            let ping = format!("http://{ping}/ping");
            let front = format!("http://{http}/");
            process
                .ready(Duration::from_secs(30), async || {
                    web.get(&ping).send().await?.error_for_status()?;
                    match web.get(&front).send().await?.status().as_u16() {
                        404 => Ok(()),
                        status => bail!("the web port answered {status}"),
                    }
                })
                .await?;
            Ok(Self {
                _process: process,
                http,
                https,
            })
        })
        .await
    }

    /// Where it answers HTTP: the address that host names resolve to.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it answers HTTPS.
    pub fn https(&self) -> SocketAddr {
        self.https
    }
}

/// Its ingress class, ServiceAccount and the rights it documents for the Ingress provider.
async fn permit(cluster: &Cluster) -> Result<()> {
    let read = ["get", "list", "watch"];
    let objects = [
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": { "name": CLASS },
            "spec": { "controller": "traefik.io/ingress-controller" },
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": "traefik", "namespace": "kube-system" },
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": "traefik" },
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "secrets", "nodes", "namespaces", "configmaps"],
                    "verbs": read,
                },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read },
                {
                    "apiGroups": ["networking.k8s.io"],
                    "resources": ["ingresses", "ingressclasses"],
                    "verbs": read,
                },
                {
                    "apiGroups": ["networking.k8s.io"],
                    "resources": ["ingresses/status"],
                    "verbs": ["update"],
                },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "traefik" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "traefik",
            },
            "subjects": [
                { "kind": "ServiceAccount", "name": "traefik", "namespace": "kube-system" },
            ],
        }),
    ];
    apply(cluster.client(), None, &objects).await
}
