//! How does a Kubernetes control plane come up in a folder?

use std::{net::IpAddr, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use tokio::sync::Mutex;

use crate::{
    authority::Authority,
    folder::Folder,
    process::{Launcher, wait::until},
    tools::Tools,
};

pub mod access;
mod api_server;
mod controller_manager;
mod etcd;

pub use self::api_server::ApiServer;
use self::{access::Access, controller_manager::ControllerManager, etcd::Etcd};

/// etcd, kube-apiserver and kube-controller-manager.
pub struct Cluster {
    // In the order in which they are to stop.
    controller_manager: Mutex<ControllerManager>,
    api_server: ApiServer,
    etcd: Etcd,
    access: Access,
    client: Client,
}

impl Cluster {
    /// Starts them and waits until they work. `address` is this machine's, as others see it;
    /// with `audit`, requests of ServiceAccounts are recorded.
    pub async fn start(
        folder: &Folder,
        launcher: &Launcher,
        tools: &Tools,
        address: IpAddr,
        audit: bool,
    ) -> Result<Self> {
        let authority = Authority::new("test bed cluster")?;
        let etcd = Etcd::start(folder, launcher, tools).await?;
        let place = api_server::Place {
            folder,
            launcher,
            tools,
            etcd: &etcd,
        };
        let api_server = ApiServer::start(&place, &authority, address, audit).await?;
        let access = api_server.access().clone();
        let admin = access.with_certificate(&authority.user("admin", "system:masters")?);
        let kubeconfig = folder.write("kubeconfig", admin.text()?)?;
        let client = admin.client().await?;
        let controller_manager =
            ControllerManager::start(folder, launcher, tools, &kubeconfig).await?;
        let cluster = Self {
            controller_manager: Mutex::new(controller_manager),
            api_server,
            etcd,
            access: admin,
            client,
        };
        cluster.wait_for_controllers().await?;
        Ok(cluster)
    }

    /// The API server, which can be stopped and started.
    pub fn api_server(&self) -> &ApiServer {
        &self.api_server
    }

    /// The process ids of what answers requests: the API server, while it runs, and etcd.
    pub async fn answering(&self) -> Vec<u32> {
        let api_server = self.api_server.pid().await;
        api_server.into_iter().chain([self.etcd.pid()]).collect()
    }

    /// A client that may do everything.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How to reach the API server as someone who may do everything.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Makes the garbage collector know kinds that were just defined. It looks for new ones only
    /// every 30 s, too long to wait for.
    pub async fn restart_controllers(&self) -> Result<()> {
        self.controller_manager.lock().await.restart().await
    }

    /// The service account controller is the last to work: it needs all the others' caches.
    async fn wait_for_controllers(&self) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "default");
        until(
            "the default service account",
            Duration::from_secs(60),
            async || {
                self.controller_manager.lock().await.check()?;
                accounts.get("default").await?;
                Ok(())
            },
        )
        .await
    }
}

/// A path as a command line argument.
fn text(path: &Path) -> Result<&str> {
    match path.to_str() {
        Some(text) => Ok(text),
        None => bail!("{} is not UTF-8", path.display()),
    }
}

/// A key pair for ServiceAccount tokens, in PEM: private, public.
fn token_keys() -> Result<(String, String)> {
    let key = rcgen::KeyPair::generate().context("generating a key for tokens")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}
