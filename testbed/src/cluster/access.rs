//! How does one reach the API server, as whom?

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::authority::Identity;

/// A kubeconfig in the making: the server, and who asks.
#[derive(Clone)]
pub struct Access {
    server: String,
    ca: String,
    user: Value,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// As nobody.
    pub(super) fn new(server: String, ca: &str) -> Self {
        Self {
            server,
            ca: ca.to_owned(),
            user: json!({}),
        }
    }

    /// As the user of a client certificate.
    pub(super) fn with_certificate(&self, identity: &Identity) -> Self {
        let user = json!({
            "client-certificate-data": base64(&identity.certificate),
            "client-key-data": base64(&identity.key),
        });
        Self {
            user,
            ..self.clone()
        }
    }

    /// As a ServiceAccount, by a token that lasts a week. `client` must be allowed to make one.
    pub async fn with_service_account(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> Result<Self> {
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(7 * 24 * 3600),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let made = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| {
                format!("requesting a token for service account {namespace}/{name}")
            })?;
        let token = made
            .status
            .context("the token request has no status")?
            .token;
        Ok(Self {
            user: json!({ "token": token }),
            ..self.clone()
        })
    }

    /// The URL of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The text of a kubeconfig: JSON, which is YAML too.
    pub fn text(&self) -> Result<String> {
        serde_json::to_string_pretty(&self.value()).context("writing a kubeconfig")
    }

    /// A client for it.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig: Kubeconfig =
            serde_json::from_value(self.value()).context("reading our own kubeconfig")?;
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.connect_timeout = Some(Duration::from_secs(5));
        config.write_timeout = Some(Duration::from_secs(30));
        Client::try_from(config).context("making a client for the API server")
    }

    /// A plain HTTP client that trusts the API server and is nobody.
    pub(super) fn http(&self) -> Result<reqwest::Client> {
        crate::web::client(&[&self.ca])
    }

    fn value(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bed",
            "clusters": [{ "name": "bed", "cluster": {
                "server": self.server,
                "certificate-authority-data": base64(&self.ca),
            }}],
            "users": [{ "name": "bed", "user": self.user }],
            "contexts": [{ "name": "bed", "context": { "cluster": "bed", "user": "bed" }}],
        })
    }
}

fn base64(text: &str) -> Value {
    json!(k8s_openapi::ByteString(text.as_bytes().to_vec()))
}
