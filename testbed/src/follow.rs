//! What does a person see of a Certificate while it is issued?

use std::time::Duration;

use anyhow::{Result, bail};
use futures::{Stream, StreamExt, TryStreamExt};
use kube::{
    Api, Client,
    core::{GroupVersionKind, Object},
    discovery::ApiResource,
    runtime::{WatchStreamExt, watcher},
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

/// Of `spec`, what is needed to check the result.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The Secret to come.
    pub secret_name: String,
    /// The names to be in it.
    #[serde(default)]
    pub dns_names: Vec<String>,
}

/// Of `status`, what is shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// A Certificate, as far as the test bed looks at it.
pub type Certificate = Object<Spec, Status>;

/// The state of a Certificate at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The Certificate's name.
    pub name: String,
    /// Whether its Ready condition is True.
    pub ready: bool,
    /// The reason of its Ready condition; empty when there is none yet.
    pub reason: String,
    /// The message of its Ready condition.
    pub message: String,
}

impl State {
    /// Of a Certificate.
    pub fn of(certificate: &Certificate) -> Self {
        let name = certificate.metadata.name.clone().unwrap_or_default();
        let conditions = certificate
            .status
            .iter()
            .flat_map(|status| &status.conditions);
        match conditions
            .into_iter()
            .find(|condition| condition.kind == "Ready")
        {
            Some(Condition {
                kind: _,
                status,
                reason,
                message,
            }) => {
                let (reason, message) = (reason.clone(), message.clone());
                Self {
                    name,
                    ready: status == "True",
                    reason,
                    message,
                }
            }
            None => Self {
                name,
                ready: false,
                reason: String::new(),
                message: String::new(),
            },
        }
    }
}

/// The Certificates of a namespace.
pub fn certificates(client: &Client, namespace: &str) -> Api<Certificate> {
    Api::namespaced_with(client.clone(), namespace, &resource())
}

/// What the API server calls Certificates.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(
        "cert-manager.io",
        "v1",
        "Certificate",
    ))
}

/// Waits until the state of one Certificate is as wanted. The error says how it was at last.
pub async fn wait(
    client: &Client,
    namespace: &str,
    name: &str,
    within: Duration,
    wanted: impl Fn(&State) -> bool,
) -> Result<State> {
    let deadline = Instant::now() + within;
    let mut states = states(client, namespace);
    let mut last = None;
    loop {
        match timeout_at(deadline, states.next()).await {
            Ok(Some(state)) => {
                let state = state?;
                if state.name == name && wanted(&state) {
                    return Ok(state);
                }
                if state.name == name {
                    last = Some(state);
                }
            }
            Ok(None) => bail!("the watch of Certificates ended"),
            Err(_) => bail!("Certificate {namespace}/{name} after {within:?}: {last:?}"),
        }
    }
}

/// The states of all Certificates of a namespace, each as it comes; the same one may come again.
pub fn states(
    client: &Client,
    namespace: &str,
) -> impl Stream<Item = Result<State>> + Unpin + use<> {
    watcher(certificates(client, namespace), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .map_ok(|certificate: Certificate| State::of(&certificate))
        .map_err(Into::into)
        .boxed()
}
