//! Which kinds of signers the approval policy knows: the ConfigMap that it takes them from, kept.
//!
//! A policy cannot look resources up, so the ConfigMap maps `Kind.group` to `plural/Namespaced` or
//! `plural/Cluster`. Without it no request gets a status: it is made again when it is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::{Api, Client, api::ObjectMeta};
use serde_json::json;
use tracing::{info, warn};

use crate::{
    api::reference::IssuerRef,
    cluster::{
        Cache, Class, Facts, Meta, Next, ObjectKey, Queue, ReconcileError, Reconciler,
        RequestError,
        write::{self, Created},
    },
};

/// The signers that are always known.
const OURS: [(&str, &str); 2] = [
    ("Issuer.cert-manager.io", "issuers/Namespaced"),
    ("ClusterIssuer.cert-manager.io", "clusterissuers/Cluster"),
];

/// More kinds of other API groups are not kept: anybody may name some in a request.
const MOST_FOREIGN: usize = 100;

/// How soon a kind that the API server does not have (yet) is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What is kept of the ConfigMap.
#[derive(Clone, Debug)]
pub struct SignersFacts {
    meta: Meta,
    data: BTreeMap<String, String>,
}

impl Facts for SignersFacts {
    type Object = ConfigMap;
    type Index = ();

    fn reduce(object: ConfigMap) -> Self {
        Self {
            meta: Meta::of(&object.metadata),
            data: object.data.unwrap_or_default(),
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<()> {
        Vec::new()
    }
}

/// The kinds of issuers of other API groups that requests name.
#[derive(Default)]
pub struct ForeignSigners {
    kinds: Mutex<BTreeSet<(String, String)>>,
    wake: OnceLock<(Queue, ObjectKey)>,
}

impl ForeignSigners {
    /// A request names `issuer`.
    pub fn notice(&self, issuer: &IssuerRef) {
        if issuer.is_ours() {
            return;
        }
        let kind = (
            issuer.group_or_default().to_owned(),
            issuer.kind_or_default().to_owned(),
        );
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.len() < MOST_FOREIGN
            && kinds.insert(kind)
            && let Some((queue, key)) = self.wake.get()
        {
            queue.add(key.clone());
        }
    }

    /// Put `key` into `queue` when there is another kind.
    pub fn wake(&self, queue: Queue, key: ObjectKey) {
        // Said once at start; a second time would say the same.
        let _ = self.wake.set((queue, key));
    }

    fn kinds(&self) -> Vec<(String, String)> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.iter().cloned().collect()
    }
}

/// Keeps the ConfigMap.
pub struct SignersReconciler {
    /// For the API server.
    pub client: Client,
    /// The ConfigMap, watched.
    pub signers: Arc<Cache<SignersFacts>>,
    /// What requests name.
    pub foreign: Arc<ForeignSigners>,
}

/// The ConfigMap could not be kept.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] RequestError);

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self.0.class() {
            // Nothing wakes us when the right comes, and no request moves until then.
            Class::Misconfigured | Class::Permanent => Class::Transient,
            other => other,
        }
    }

    fn reason(&self) -> Option<&'static str> {
        None
    }
}

impl Reconciler for SignersReconciler {
    const NAME: &'static str = "signers";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let known = self.signers.get(key);
        let data = known.as_ref().map(|known| &known.data);
        let mut wanted: BTreeMap<String, String> = OURS
            .map(|(kind, signer)| (kind.to_owned(), signer.to_owned()))
            .into();
        let mut next = Next::Change;
        for (group, kind) in self.foreign.kinds() {
            let name = format!("{kind}.{group}");
            if data.is_some_and(|data| data.contains_key(&name)) {
                continue;
            }
            match self.discover(&group, &kind).await {
                Some(signer) => {
                    wanted.insert(name, signer);
                }
                None => next = Next::After(LOOK_AGAIN),
            }
        }
        wanted.retain(|name, signer| data.and_then(|data| data.get(name)) != Some(signer));
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.namespace);
        if known.is_none() {
            warn!(config_map = %key, "the signers of the approval policy are gone, making them again");
            let metadata = ObjectMeta {
                namespace: Some(key.namespace.to_string()),
                name: Some(key.name.to_string()),
                ..Default::default()
            };
            let object = ConfigMap {
                metadata,
                data: Some(wanted),
                ..Default::default()
            };
            match write::create(&api, &object).await? {
                Created::New(created) => self.signers.observe(created),
                Created::Exists => {}
            }
        } else if !wanted.is_empty() {
            info!(config_map = %key, ?wanted, "adding signers for the approval policy");
            let patched = write::merge(&api, key, &json!({"data": wanted})).await?;
            self.signers.observe(patched);
        }
        Ok(next)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.signers
            .get(key)
            .map(|signers| signers.meta.reference("v1", "ConfigMap"))
    }
}

impl SignersReconciler {
    /// `plural/Namespaced` or `plural/Cluster` of a kind, if the API server has it.
    async fn discover(&self, group: &str, kind: &str) -> Option<String> {
        let groups = self.client.list_api_groups().await.ok()?;
        let found = groups
            .groups
            .into_iter()
            .find(|found| found.name == group)?;
        for version in found.versions {
            let resources = self
                .client
                .list_api_group_resources(&version.group_version)
                .await
                .ok()?;
            let resource = resources
                .resources
                .into_iter()
                .find(|resource| resource.kind == kind && !resource.name.contains('/'));
            if let Some(resource) = resource {
                let scope = if resource.namespaced {
                    "Namespaced"
                } else {
                    "Cluster"
                };
                return Some(format!("{}/{scope}", resource.name));
            }
        }
        None
    }
}
