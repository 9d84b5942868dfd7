//! What does a test bed consist of, and in which order does it start?

use std::net::IpAddr;

use anyhow::Result;
use kube::Client;

use crate::{
    cluster::{ApiServer, Cluster},
    folder::Folder,
    home::Home,
    process::{Launcher, ports},
    progress::Progress,
    tools::Tools,
};

/// What a test bed is started with.
#[derive(Debug)]
pub struct BedOptions {
    /// Where it works.
    pub home: Home,
    /// How it tells what it does.
    pub progress: Progress,
}

/// A running test bed. Everything ends when it is dropped, or when this process ends.
pub struct Bed {
    // Dropped in this order.
    cluster: Cluster,
    launcher: Launcher,
    tools: Tools,
    address: IpAddr,
    folder: Folder,
    home: Home,
}

impl Bed {
    /// Starts one; builds or fetches the programs it lacks.
    pub async fn start(options: BedOptions) -> Result<Self> {
        let BedOptions { home, progress } = options;
        // Only an error when it was done before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let tools = Tools::ready(&home, progress).await?;
        let address = ports::own_address()?;
        let folder = Folder::create(&home)?;
        let launcher = Launcher::new(&folder.path().join("logs"))?;
        progress.step("starting etcd, kube-apiserver and kube-controller-manager");
        let cluster = Cluster::start(&folder, &launcher, &tools, address).await?;
        progress.step(&format!(
            "the API server is at {}",
            cluster.access().server()
        ));
        Ok(Self {
            cluster,
            launcher,
            tools,
            address,
            folder,
            home,
        })
    }

    /// A client that may do everything.
    pub fn client(&self) -> &Client {
        self.cluster.client()
    }

    /// The API server, which can be stopped and started.
    pub fn api_server(&self) -> &ApiServer {
        self.cluster.api_server()
    }

    /// A kubeconfig that may do everything.
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.folder.path().join("kubeconfig")
    }
}
