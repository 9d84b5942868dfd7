//! Which objects are known, and how much of each.

mod lists;
mod samples;
mod seed;
mod standing;
mod wake;
mod watch;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};

use crate::{
    certificate::{facts::CertificateFacts, secret::SecretFacts},
    challenge::facts::ChallengeFacts,
    cluster::{Cache, Facts, Meta, ObjectKey},
    crl::{ListFacts, Waiting},
    issuer::Issuers,
    order::facts::OrderFacts,
    request::{
        facts::RequestFacts,
        signers::{ForeignSigners, SignersFacts},
    },
    retire::{brake::Orphans, counts::Counts, departed::Departed, facts::IssuanceFacts},
    route::RouteFacts,
    signing_request::facts::SigningRequestFacts,
    solver::http01::endpoints::SliceFacts,
};

pub use seed::{Seed, all, nothing};
pub use standing::Standing;
pub use wake::Queues;

/// Everything that is known of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Caches {
    /// Certificates.
    pub certificates: Arc<Cache<CertificateFacts>>,
    /// CertificateRequests.
    pub requests: Arc<Cache<RequestFacts>>,
    /// Kubernetes' own CertificateSigningRequests, those for issuers of ours.
    pub signing_requests: Arc<Cache<SigningRequestFacts>>,
    /// Orders.
    pub orders: Arc<Cache<OrderFacts>>,
    /// Challenges.
    pub challenges: Arc<Cache<ChallengeFacts>>,
    /// Issuers and ClusterIssuers.
    pub issuers: Issuers,
    /// Secrets of certificates and keys, by what they hold.
    pub secrets: Arc<Cache<SecretFacts>>,
    /// All other Secrets, by name and version alone.
    pub other_secrets: Arc<Cache<Standing<Secret>>>,
    /// Where the operator's own solver Service leads to.
    pub slices: Arc<Cache<SliceFacts>>,
    /// Ingresses, by what they ask for.
    pub routes: Arc<Cache<RouteFacts>>,
    /// The ConfigMap that parametrizes the approval policy.
    pub signers: Arc<Cache<SignersFacts>>,
    /// The kinds of issuers of other API groups that requests name.
    pub foreign_signers: Arc<ForeignSigners>,
    /// The records of issued certificates.
    pub issuances: Arc<Cache<IssuanceFacts>>,
    /// How many of them are in each state.
    pub issuance_counts: Arc<Counts>,
    /// How many of them no Certificate keeps.
    pub orphans: Arc<Orphans>,
    /// The ConfigMaps that hold lists of revoked certificates.
    pub lists: Arc<Cache<ListFacts>>,
    /// Who has no room on one.
    pub waiting: Arc<Waiting>,
    /// Namespaces, by name and version alone.
    pub namespaces: Arc<Cache<Standing<Namespace>>>,
    /// What Certificates said last that were seen going.
    pub departed: Arc<Departed>,
}

/// Which part of the cluster is watched.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The only namespace, or all.
    pub namespace: Option<String>,
    /// The operator's solver Service, if routes mirror it.
    pub solver_service: Option<ObjectKey>,
    /// The ConfigMap that parametrizes the approval policy, if it is kept.
    pub signers: Option<ObjectKey>,
    /// Where the records of issued certificates are.
    pub issuances: String,
    /// Whether CertificateSigningRequests are.
    pub signing_requests: bool,
}

impl Caches {
    /// Empty caches of the namespace `only`, or of all; Secrets of ClusterIssuers are in
    /// `cluster_resource_namespace`.
    pub fn new(cluster_resource_namespace: &str, only: Option<&str>) -> Self {
        Self {
            certificates: Arc::default(),
            requests: Arc::default(),
            signing_requests: Arc::default(),
            orders: Arc::default(),
            challenges: Arc::default(),
            issuers: Issuers {
                namespaced: Arc::default(),
                cluster: Arc::default(),
                cluster_resource_namespace: cluster_resource_namespace.into(),
            },
            secrets: Arc::default(),
            other_secrets: Arc::default(),
            slices: Arc::default(),
            routes: Arc::default(),
            signers: Arc::default(),
            foreign_signers: Arc::default(),
            issuances: Arc::default(),
            issuance_counts: Arc::default(),
            orphans: Arc::new(Orphans::of(only)),
            lists: Arc::default(),
            waiting: Arc::default(),
            namespaces: Arc::default(),
            departed: Arc::default(),
        }
    }

    /// Wait until every cache that is watched holds its first list. CertificateSigningRequests are
    /// waited for by their own reconciler alone: they are an experiment, and whoever may not read
    /// them can do all the rest.
    pub async fn synced(&self, scope: &Scope) {
        self.certificates.synced().await;
        self.requests.synced().await;
        self.orders.synced().await;
        self.challenges.synced().await;
        self.issuers.namespaced.synced().await;
        self.secrets.synced().await;
        self.other_secrets.synced().await;
        self.routes.synced().await;
        self.issuances.synced().await;
        if scope.namespace.is_none() {
            self.issuers.cluster.synced().await;
            self.namespaces.synced().await;
        }
        if scope.solver_service.is_some() {
            self.slices.synced().await;
        }
        if scope.signers.is_some() {
            self.signers.synced().await;
        }
    }

    /// The present version of a Secret (uid and resourceVersion), of either sort.
    pub fn secret_version(&self, key: &ObjectKey) -> Option<(String, String)> {
        let version = |meta: &Meta| (meta.uid.clone(), meta.resource_version.clone());
        let ours = self.secrets.get(key).map(|secret| version(secret.meta()));
        ours.or_else(|| {
            self.other_secrets
                .get(key)
                .map(|secret| version(secret.meta()))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        certificate::secret::SecretIndex, challenge::facts::ChallengeIndex, cluster::OwnerKey,
        order::facts::OrderIndex, request::facts::RequestIndex,
    };

    /// An object in namespace `evil` that says that `uid` owns it.
    fn planted<K: serde::de::DeserializeOwned>(uid: &str, spec: Value) -> K {
        let value = json!({
            "metadata": {
                "namespace": "evil", "name": "planted", "uid": "p", "resourceVersion": "1",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Any", "name": "any", "uid": uid, "controller": true},
                ],
            },
            "spec": spec,
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_somebody_plants_elsewhere_is_not_found() {
        let caches = Caches::new("system", None);
        let issuer = json!({"name": "ca"});
        caches
            .requests
            .observe(planted("u", json!({"issuerRef": issuer, "request": ""})));
        caches
            .orders
            .observe(planted("u", json!({"issuerRef": issuer, "request": ""})));
        caches.challenges.observe(planted(
            "u",
            json!({
                "authorizationURL": "a", "dnsName": "a", "issuerRef": issuer, "key": "k", "solver": {},
                "token": "t", "type": "HTTP-01", "url": "u",
            }),
        ));
        caches.secrets.observe(planted("u", Value::Null));
        for (namespace, want) in [("web", 0), ("", 0), ("evil", 1)] {
            let owner = || OwnerKey::new(&namespace.into(), "u");
            let found = [
                caches.requests.find(&RequestIndex::Owner(owner())).len(),
                caches.orders.find(&OrderIndex::Owner(owner())).len(),
                caches
                    .challenges
                    .find(&ChallengeIndex::Owner(owner()))
                    .len(),
                caches.secrets.find(&SecretIndex::Owner(owner())).len(),
            ];
            assert_eq!(found, [want; 4], "{namespace:?}");
        }
    }
}
