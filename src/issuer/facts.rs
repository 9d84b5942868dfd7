//! What is kept of an Issuer or ClusterIssuer, and which change of one is news?

use std::{collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use kube::{Api, Client};

use crate::{
    api::{
        condition,
        issuer::{AnyIssuer, ClusterIssuer, Issuer, IssuerSpec, IssuerStatus},
        names,
    },
    cluster::{Cache, Facts, Meta, ObjectKey, write::Kind},
    issuer::named,
};

/// An Issuer or ClusterIssuer. There are few of them: kept whole.
#[derive(Debug)]
pub struct IssuerFacts<K> {
    /// Name and versions.
    pub meta: Meta,
    /// `metadata.annotations`.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// What the user wrote.
    pub spec: Arc<IssuerSpec>,
    /// What is known of it.
    pub status: Arc<IssuerStatus>,
    kind: PhantomData<fn() -> K>,
}

/// How issuers are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IssuerIndex {
    /// By a Secret that they name. The namespace is the Issuer's own; that of a ClusterIssuer's
    /// Secrets is a setting, and left empty here: see [`naming_secret`].
    Secret(ObjectKey),
}

impl<K: IssuerResource> Facts for IssuerFacts<K> {
    type Object = K;
    type Index = IssuerIndex;

    fn reduce(object: K) -> Self {
        Self {
            meta: Meta::of(object.meta()),
            annotations: Arc::new(object.meta().annotations.clone().unwrap_or_default()),
            spec: Arc::new(object.spec().clone()),
            status: Arc::new(object.status().cloned().unwrap_or_default()),
            kind: PhantomData,
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<IssuerIndex> {
        let namespace = &self.meta.key.namespace;
        named::secrets(&self.spec)
            .into_iter()
            .map(|name| IssuerIndex::Secret(ObjectKey::new(Arc::clone(namespace), name)))
            .collect()
    }
}

/// Whether a change of an issuer is one to reconcile it for: our own writes of its status are not.
pub fn is_news<K: IssuerResource>(
    old: Option<&Arc<IssuerFacts<K>>>,
    new: Option<&Arc<IssuerFacts<K>>>,
) -> bool {
    match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => {
            old.meta.uid != new.meta.uid
                || old.meta.generation != new.meta.generation
                // The way to have an issuer looked at again.
                || old.annotations != new.annotations
                // Somebody took the status away; ours has conditions.
                || new.status.conditions.is_none()
        }
    }
}

/// Whether a change of an issuer matters to those who use it. How far the re-issuing of certificates
/// is does not: it is told many times, and they are many.
pub fn is_news_to_users<K: IssuerResource>(
    old: Option<&Arc<IssuerFacts<K>>>,
    new: Option<&Arc<IssuerFacts<K>>>,
) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return true;
    };
    let ready = |facts: &IssuerFacts<K>| {
        condition::find(facts.status.conditions.as_ref(), condition::kind::READY).cloned()
    };
    old.meta.uid != new.meta.uid
        || old.meta.generation != new.meta.generation
        || old.meta.deleting != new.meta.deleting
        || old.annotations != new.annotations
        || old.status.acme != new.status.acme
        || ready(old) != ready(new)
}

/// The issuers of one kind that name `secret`; those of ClusterIssuers are in
/// `cluster_resource_namespace`.
pub fn naming_secret<K: IssuerResource>(
    cache: &Cache<IssuerFacts<K>>,
    secret: &ObjectKey,
    cluster_resource_namespace: &str,
) -> Vec<ObjectKey> {
    let key = match K::KIND {
        IssuerKind::Issuer => secret.clone(),
        IssuerKind::ClusterIssuer if *secret.namespace == *cluster_resource_namespace => {
            ObjectKey::cluster(Arc::clone(&secret.name))
        }
        IssuerKind::ClusterIssuer => return Vec::new(),
    };
    cache.find_keys(&IssuerIndex::Secret(key))
}

/// Issuer or ClusterIssuer, for code that does for both.
pub trait IssuerResource: AnyIssuer + Kind {
    /// Which of the two.
    const KIND: IssuerKind;
    /// Name of the controller, as users of cert-manager's metrics know it.
    const CONTROLLER: &'static str;

    /// The API for the object `key`.
    fn api(client: &Client, key: &ObjectKey) -> Api<Self>;
}

impl IssuerResource for Issuer {
    const KIND: IssuerKind = IssuerKind::Issuer;
    const CONTROLLER: &'static str = "issuers";

    fn api(client: &Client, key: &ObjectKey) -> Api<Self> {
        Api::namespaced(client.clone(), &key.namespace)
    }
}

impl IssuerResource for ClusterIssuer {
    const KIND: IssuerKind = IssuerKind::ClusterIssuer;
    const CONTROLLER: &'static str = "clusterissuers";

    fn api(client: &Client, _key: &ObjectKey) -> Api<Self> {
        Api::all(client.clone())
    }
}

/// The two kinds of issuers of the API group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IssuerKind {
    /// For its namespace.
    Issuer,
    /// For every namespace.
    ClusterIssuer,
}

impl IssuerKind {
    /// As in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => names::ISSUER_KIND,
            Self::ClusterIssuer => names::CLUSTER_ISSUER_KIND,
        }
    }
}

impl fmt::Display for IssuerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;

    fn meta(namespace: Option<&str>, name: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: namespace.map(str::to_owned),
            name: Some(name.into()),
            uid: Some(format!("uid-{name}")),
            resource_version: Some("1".into()),
            generation: Some(1),
            ..ObjectMeta::default()
        }
    }

    fn acme() -> Value {
        json!({"acme": {
            "server": "https://ca.example/dir",
            "privateKeySecretRef": {"name": "account"},
            "externalAccountBinding": {"keyID": "k", "keySecretRef": {"name": "eab", "key": "k"}},
            "solvers": [{"dns01": {"rfc2136": {
                "nameserver": "ns", "tsigSecretSecretRef": {"name": "tsig", "key": "k"},
            }}}],
        }})
    }

    fn facts(generation: i64, note: &str, status: Value) -> Arc<IssuerFacts<Issuer>> {
        let mut issuer = Issuer::new("le", serde_json::from_value(acme()).unwrap());
        issuer.metadata = meta(Some("web"), "le");
        issuer.metadata.generation = Some(generation);
        issuer.metadata.annotations = Some(BTreeMap::from([("note".into(), note.into())]));
        issuer.status = serde_json::from_value(status).unwrap();
        Arc::new(IssuerFacts::reduce(issuer))
    }

    #[test]
    fn issuers_are_found_by_their_secrets() {
        let (namespaced, cluster) = (Cache::default(), Cache::default());
        let mut issuer = Issuer::new("le", serde_json::from_value(acme()).unwrap());
        issuer.metadata = meta(Some("web"), "le");
        namespaced.observe(issuer);
        let mut issuer = ClusterIssuer::new("le", serde_json::from_value(acme()).unwrap());
        issuer.metadata = meta(None, "le");
        cluster.observe(issuer);
        let ca = serde_json::from_value(json!({"ca": {"secretName": "root"}})).unwrap();
        let mut issuer = Issuer::new("ca", ca);
        issuer.metadata = meta(Some("web"), "ca");
        namespaced.observe(issuer);
        for (namespace, name, issuers, cluster_issuers) in [
            ("web", "root", 1, 0),
            ("web", "account", 1, 0),
            ("web", "eab", 1, 0),
            ("web", "tsig", 1, 0),
            ("web", "other", 0, 0),
            ("system", "account", 0, 1),
            ("system", "tsig", 0, 1),
            ("elsewhere", "account", 0, 0),
        ] {
            let secret = ObjectKey::new(namespace, name);
            let found = (
                naming_secret(&namespaced, &secret, "system").len(),
                naming_secret(&cluster, &secret, "system").len(),
            );
            assert_eq!(found, (issuers, cluster_issuers), "{secret}");
        }
    }

    #[test]
    fn our_own_status_is_no_news() {
        let fresh = facts(1, "", json!(null));
        let checked = facts(1, "", json!({"conditions": []}));
        let changed = facts(2, "", json!({"conditions": []}));
        let touched = facts(1, "look again", json!({"conditions": []}));
        assert!(is_news(None, Some(&fresh)));
        assert!(!is_news(Some(&fresh), Some(&checked)));
        assert!(is_news(Some(&checked), Some(&changed)));
        assert!(is_news(Some(&checked), Some(&touched)));
        assert!(is_news(Some(&checked), Some(&fresh)));
        assert!(!is_news(Some(&checked), None));
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let rotating = json!({"conditions": [
            {"type": "Ready", "status": "True"}, {"type": "Rotating", "status": "True"},
        ]});
        let (ready, rotating) = (facts(1, "", ready), facts(1, "", rotating));
        assert!(is_news_to_users(Some(&checked), Some(&ready)));
        assert!(!is_news_to_users(Some(&ready), Some(&rotating)));
        assert!(!is_news_to_users(Some(&rotating), Some(&ready)));
        assert!(is_news_to_users(Some(&ready), Some(&changed)));
        assert!(is_news_to_users(Some(&ready), None));
        assert!(is_news_to_users(None, Some(&ready)));
    }
}
