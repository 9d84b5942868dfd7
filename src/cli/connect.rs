//! How is the API server reached, as the flags say?

use std::path::PathBuf;

use kube::{
    Config,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::flags::ApiServer;

/// No way to the API server is known.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `--kubeconfig` names a file that cannot be used.
    #[error("read kubeconfig {}: {source}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: KubeconfigError,
    },
    /// There is no `--kubeconfig`, and neither a pod's account nor a kubeconfig of this user.
    #[error("find the API server: {0}; give --kubeconfig")]
    Infer(#[source] InferConfigError),
}

/// The way to the API server: the kubeconfig that the flag names, else `$KUBECONFIG` or
/// `~/.kube/config`, else the pod's own account; at another URL, if one is given.
///
/// # Errors
/// None of them can be used.
pub async fn config(server: ApiServer) -> Result<Config, ConnectError> {
    let ApiServer { url, kubeconfig } = server;
    let mut config = match (kubeconfig, &url) {
        (Some(path), _) => {
            let options = KubeConfigOptions::default();
            let unusable = |source| ConnectError::Kubeconfig {
                path: path.clone(),
                source,
            };
            let text = Kubeconfig::read_from(&path).map_err(unusable)?;
            Config::from_custom_kubeconfig(text, &options)
                .await
                .map_err(unusable)?
        }
        (None, None) => Config::infer().await.map_err(ConnectError::Infer)?,
        (None, Some(url)) => Config::infer().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "no credentials for the API server");
            Config::new(url.clone())
        }),
    };
    if let Some(url) = url {
        config.cluster_url = url;
    }
    Ok(config)
}
