//! Which of Kubernetes' own controllers run?

use std::path::Path;

use anyhow::{Result, bail};

use super::text;
use crate::{
    folder::Folder,
    process::{Launcher, Process, Program, tail},
    tools::{Tool, Tools},
};

/// Those that a certificate meets: nothing here has to do with nodes and pods.
const CONTROLLERS: &str = "clusterrole-aggregation-controller,endpointslice-controller,\
    garbage-collector-controller,namespace-controller,serviceaccount-controller,\
    validatingadmissionpolicy-status-controller";

/// kube-controller-manager.
#[derive(Debug)]
pub(super) struct ControllerManager {
    launcher: Launcher,
    program: Program,
    process: Process,
}

impl ControllerManager {
    pub(super) async fn start(
        folder: &Folder,
        launcher: &Launcher,
        tools: &Tools,
        kubeconfig: &Path,
    ) -> Result<Self> {
        let program = Program::new(
            "kube-controller-manager",
            tools.path(Tool::ControllerManager),
        )
        .arg(format!("--kubeconfig={}", text(kubeconfig)?))
        .arg(format!(
            "--service-account-private-key-file={}/tokens.key",
            text(folder.path())?
        ))
        .arg(format!("--controllers={CONTROLLERS}"))
        .args(["--leader-elect=false", "--secure-port=0"])
        // A test's namespace is to be gone in a moment.
        .args(["--kube-api-qps=500", "--kube-api-burst=1000"]);
        let process = launcher.start(&program).await?;
        Ok(Self {
            launcher: launcher.clone(),
            program,
            process,
        })
    }

    pub(super) async fn restart(&mut self) -> Result<()> {
        self.process.kill().await?;
        self.process = self.launcher.start(&self.program).await?;
        Ok(())
    }

    /// Fails if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.process.exited()? {
            Some(status) => bail!(
                "kube-controller-manager ended with {status}:\n{}",
                tail(&self.process.log())
            ),
            None => Ok(()),
        }
    }
}
