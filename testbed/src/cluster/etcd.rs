//! How does etcd run?

use std::time::Duration;

use anyhow::Result;

use super::text;
use crate::{
    folder::Folder,
    process::{Launcher, Process, Program, ports},
    tools::{Tool, Tools},
};

/// One member, without fsync: what it holds is gone with the test bed.
#[derive(Debug)]
pub(super) struct Etcd {
    process: Process,
    endpoint: String,
}

impl Etcd {
    pub(super) async fn start(folder: &Folder, launcher: &Launcher, tools: &Tools) -> Result<Self> {
        let data = folder.path().join("etcd");
        let http = crate::web::client(&[])?;
        ports::avoiding(async || {
            let endpoint = format!("http://127.0.0.1:{}", ports::free()?);
            let peer = format!("http://127.0.0.1:{}", ports::free()?);
            let program = Program::new("etcd", tools.path(Tool::Etcd))
                .args(["--name=bed", "--unsafe-no-fsync", "--log-level=warn"])
                .arg(format!("--data-dir={}", text(&data)?))
                .arg(format!("--listen-client-urls={endpoint}"))
                .arg(format!("--advertise-client-urls={endpoint}"))
                .arg(format!("--listen-peer-urls={peer}"))
                .arg(format!("--initial-advertise-peer-urls={peer}"))
                .arg(format!("--initial-cluster=bed={peer}"));
            let mut process = launcher.start(&program).await?;
            let health = format!("{endpoint}/readyz");
            process
                .ready(Duration::from_secs(30), async || {
                    http.get(&health).send().await?.error_for_status()?;
                    Ok(())
                })
                .await?;
            Ok(Self { process, endpoint })
        })
        .await
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }
}
