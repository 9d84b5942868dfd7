//! How does the API server run, stop and start again?

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::sync::Mutex;

use super::{access::Access, etcd::Etcd, text, token_keys};
use crate::{
    authority::Authority,
    bench,
    folder::Folder,
    process::{Launcher, Process, Program, ports},
    tools::{Tool, Tools},
};

/// Where it starts, and on what.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Folder,
    pub(super) launcher: &'a Launcher,
    pub(super) tools: &'a Tools,
    pub(super) etcd: &'a Etcd,
}

/// kube-apiserver, as on a real cluster: RBAC, all default admission, both kinds of admission
/// policy.
#[derive(Debug)]
pub struct ApiServer {
    launcher: Launcher,
    program: Program,
    access: Access,
    process: Mutex<Option<Process>>,
}

impl ApiServer {
    pub(super) async fn start(
        place: &Place<'_>,
        authority: &Authority,
        address: IpAddr,
        audit: bool,
    ) -> Result<Self> {
        let Place {
            folder,
            launcher,
            tools,
            etcd,
        } = place;
        let identity =
            authority.server("kube-apiserver", &[Ipv4Addr::LOCALHOST.into(), address])?;
        let (private, public) = token_keys()?;
        let ca = folder.write("cluster-ca.crt", authority.pem())?;
        let certificate = folder.write("api-server.crt", identity.certificate)?;
        let key = folder.write("api-server.key", identity.key)?;
        let token_key = folder.write("tokens.key", private)?;
        let token_public = folder.write("tokens.pub", public)?;
        let base = Program::new("kube-apiserver", tools.path(Tool::ApiServer))
            .arg(format!("--etcd-servers={}", etcd.endpoint()))
            .arg(format!("--client-ca-file={}", text(&ca)?))
            .arg(format!("--tls-cert-file={}", text(&certificate)?))
            .arg(format!("--tls-private-key-file={}", text(&key)?))
            .arg(format!(
                "--service-account-signing-key-file={}",
                text(&token_key)?
            ))
            .arg(format!(
                "--service-account-key-file={}",
                text(&token_public)?
            ))
            .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
            .arg("--service-cluster-ip-range=10.0.0.0/24")
            .arg("--authorization-mode=RBAC")
            // The Service `kubernetes` needs no endpoints: nothing here goes through Services.
            .arg("--endpoint-reconciler-type=none")
            .arg(format!("--advertise-address={address}"))
            .arg("--bind-address=127.0.0.1");
        let base = if audit { audited(base, folder)? } else { base };
        ports::avoiding(async || {
            let port = ports::free()?;
            let program = base.clone().arg(format!("--secure-port={port}"));
            let access = Access::new(format!("https://127.0.0.1:{port}"), authority.pem());
            let mut process = launcher.start(&program).await?;
            wait(&mut process, &access).await?;
            Ok(Self {
                launcher: (*launcher).clone(),
                program,
                access,
                process: Mutex::new(Some(process)),
            })
        })
        .await
    }

    /// Its process id, while it runs.
    pub async fn pid(&self) -> Option<u32> {
        self.process.lock().await.as_ref().map(Process::pid)
    }

    /// Kills it. The data stays in etcd.
    pub async fn stop(&self) -> Result<()> {
        match self.process.lock().await.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Starts it again on the same port, unless it runs.
    pub async fn resume(&self) -> Result<()> {
        let mut slot = self.process.lock().await;
        if slot.is_some() {
            return Ok(());
        }
        ports::avoiding(async || {
            let mut process = self.launcher.start(&self.program).await?;
            wait(&mut process, &self.access).await?;
            *slot = Some(process);
            Ok(())
        })
        .await
        .context("starting the API server again")
    }

    /// Kills it and starts it again.
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.resume().await
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }
}

/// Records who asked for what, of ServiceAccounts only: the operator is one. In one namespace, which
/// only the bench uses, it records what was written by anyone, with bodies.
fn audited(program: Program, folder: &Folder) -> Result<Program> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            {
                "level": "RequestResponse",
                "namespaces": [bench::RECORDED],
                "verbs": ["create", "update", "patch", "delete"],
            },
            { "level": "Metadata", "userGroups": ["system:serviceaccounts"] },
        ],
    });
    let policy = folder.write("audit-policy.json", policy.to_string())?;
    let log = folder.path().join("audit.log");
    Ok(program
        .arg(format!("--audit-policy-file={}", text(&policy)?))
        .arg(format!("--audit-log-path={}", text(&log)?)))
}

async fn wait(process: &mut Process, access: &Access) -> Result<()> {
    let http = access.http()?;
    let url = format!("{}/readyz", access.server());
    process
        .ready(Duration::from_secs(90), async || {
            http.get(&url).send().await?.error_for_status()?;
            Ok(())
        })
        .await
}
