//! How is the API server reached, as the flags say?

use std::path::{Path, PathBuf};

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
    /// The kubeconfig of this user cannot be used.
    #[error("read the kubeconfig: {0}; give --kubeconfig")]
    NoKubeconfig(#[source] KubeconfigError),
    /// There is no `--kubeconfig`, and neither a pod's account nor a kubeconfig of this user.
    #[error("find the API server: {0}; give --kubeconfig")]
    Infer(#[source] InferConfigError),
}

/// The way that people take with kubectl: the kubeconfig at `path`, else `$KUBECONFIG` or
/// `~/.kube/config`, and of it that context, else the current one; in a pod, its own account.
///
/// # Errors
/// They cannot be used.
pub async fn persons_config(
    path: Option<&Path>,
    context: Option<String>,
) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let unusable = |source| match path {
        Some(path) => ConnectError::Kubeconfig {
            path: path.to_owned(),
            source,
        },
        None => ConnectError::NoKubeconfig(source),
    };
    match path {
        Some(path) => {
            let text = Kubeconfig::read_from(path).map_err(unusable)?;
            Config::from_custom_kubeconfig(text, &options)
                .await
                .map_err(unusable)
        }
        None if options.context.is_some() => {
            Config::from_kubeconfig(&options).await.map_err(unusable)
        }
        None => Config::infer().await.map_err(ConnectError::Infer),
    }
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
