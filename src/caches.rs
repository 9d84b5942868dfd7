//! Which objects are watched, and who is woken by which change.

use std::sync::Arc;

use k8s_openapi::api::{core::v1::Secret, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
};
use tokio_util::task::TaskTracker;

use crate::{
    api::{
        certificate::Certificate,
        challenge::{Challenge, ChallengeType},
        issuer::{ClusterIssuer, Issuer},
        names::label,
        order::Order,
        reference::IssuerAddress,
        request::CertificateRequest,
    },
    certificate::{
        facts::{CertificateFacts, CertificateIndex},
        secret::{SecretFacts, SecretIndex},
    },
    challenge::facts::{ChallengeFacts, ChallengeIndex},
    cluster::{
        Cache, Facts, Meta, ObjectKey, Queue,
        health::Readiness,
        watch::{self, OnInvalid},
        write::Kind,
    },
    issuer::{
        IssuerFacts, IssuerKind, Issuers,
        facts::{IssuerResource, is_news, naming_secret},
    },
    order::facts::{OrderFacts, OrderIndex},
    request::facts::{RequestFacts, RequestIndex},
    solver::http01::endpoints::SliceFacts,
};

/// Everything that is known of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Caches {
    /// Certificates.
    pub certificates: Arc<Cache<CertificateFacts>>,
    /// CertificateRequests.
    pub requests: Arc<Cache<RequestFacts>>,
    /// Orders.
    pub orders: Arc<Cache<OrderFacts>>,
    /// Challenges.
    pub challenges: Arc<Cache<ChallengeFacts>>,
    /// Issuers and ClusterIssuers.
    pub issuers: Issuers,
    /// Secrets of certificates and keys, by what they hold.
    pub secrets: Arc<Cache<SecretFacts>>,
    /// All other Secrets, by name and version alone.
    pub other_secrets: Arc<Cache<Bystander>>,
    /// Where the operator's own solver Service leads to.
    pub slices: Arc<Cache<SliceFacts>>,
}

/// The queues of the reconcilers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Queues {
    /// Of Certificates.
    pub certificates: Queue,
    /// Of CertificateRequests.
    pub requests: Queue,
    /// Of Orders.
    pub orders: Queue,
    /// Of Challenges.
    pub challenges: Queue,
    /// Of Issuers.
    pub issuers: Queue,
    /// Of ClusterIssuers.
    pub cluster_issuers: Queue,
}

/// What is kept of a Secret that is not ours: that it stands, and in which version.
#[derive(Clone, Debug)]
pub struct Bystander {
    meta: Meta,
}

impl Facts for Bystander {
    type Object = PartialObjectMeta<Secret>;
    type Index = ();

    fn reduce(object: Self::Object) -> Self {
        Self { meta: Meta::of(&object.metadata) }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<()> {
        Vec::new()
    }
}

/// Which part of the cluster is watched.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The only namespace, or all.
    pub namespace: Option<String>,
    /// The operator's solver Service, if routes mirror it.
    pub solver_service: Option<ObjectKey>,
}

impl Caches {
    /// Empty caches; Secrets of ClusterIssuers are in `cluster_resource_namespace`.
    pub fn new(cluster_resource_namespace: &str) -> Self {
        Self {
            certificates: Arc::default(),
            requests: Arc::default(),
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
        }
    }

    /// The present version of a Secret (uid and resourceVersion), of either sort.
    pub fn secret_version(&self, key: &ObjectKey) -> Option<(String, String)> {
        let version = |meta: &Meta| (meta.uid.clone(), meta.resource_version.clone());
        let ours = self.secrets.get(key).map(|secret| version(secret.meta()));
        ours.or_else(|| self.other_secrets.get(key).map(|secret| version(&secret.meta)))
    }

    /// Wake the reconcilers behind `queues` by every change that concerns them. Once, before
    /// [`Caches::watch`].
    pub fn wake(&self, queues: &Queues) {
        self.wake_by_certificates(queues);
        self.wake_by_requests(queues);
        self.wake_by_orders(queues);
        self.wake_by_challenges(queues);
        self.wake_by_issuers(&self.issuers.namespaced, &queues.issuers, queues);
        self.wake_by_issuers(&self.issuers.cluster, &queues.cluster_issuers, queues);
        self.wake_by_secrets(queues);
        self.wake_by_endpoints(queues);
    }

    /// Start all watches, each with its gate in `readiness`.
    pub fn watch(
        &self,
        client: &Client,
        scope: &Scope,
        readiness: &Readiness,
        tasks: &TaskTracker,
        on_invalid: &OnInvalid,
    ) {
        let watcher = Watcher { client, scope, readiness, tasks, on_invalid };
        watcher.namespaced::<Certificate, _>(&self.certificates);
        watcher.namespaced::<CertificateRequest, _>(&self.requests);
        watcher.namespaced::<Order, _>(&self.orders);
        watcher.namespaced::<Challenge, _>(&self.challenges);
        watcher.namespaced::<Issuer, _>(&self.issuers.namespaced);
        if scope.namespace.is_none() {
            watcher.cluster::<ClusterIssuer, _>(&self.issuers.cluster);
        }
        watcher.secrets(&self.secrets, &self.other_secrets);
        if let Some(service) = &scope.solver_service {
            watcher.slices(service, &self.slices);
        }
    }

    fn wake_by_certificates(&self, queues: &Queues) {
        let cache = Arc::downgrade(&self.certificates);
        let queue = queues.certificates.clone();
        self.certificates.listen(vec![Box::new(move |old, new| {
            let changed = old.into_iter().chain(new);
            for certificate in changed {
                queue.add(certificate.meta().key.clone());
            }
            // Others that name the same Secret may own it now, or not any more.
            let secret = |facts: Option<&Arc<CertificateFacts>>| facts.map(|facts| facts.secret());
            if secret(old) == secret(new) {
                return;
            }
            let Some(cache) = cache.upgrade() else { return };
            for secret in secret(old).into_iter().chain(secret(new)) {
                cache.find_keys(&CertificateIndex::Secret(secret)).into_iter().for_each(|key| queue.add(key));
            }
        })]);
    }

    fn wake_by_requests(&self, queues: &Queues) {
        let queue = queues.requests.clone();
        let certificates = queues.certificates.clone();
        let by_uid = Arc::downgrade(&self.certificates);
        self.requests.listen(vec![Box::new(move |old, new| {
            if let Some(request) = new {
                queue.add(request.meta.key.clone());
            }
            let owners = old.into_iter().chain(new).filter_map(|r| r.meta.controller.clone());
            let Some(by_uid) = by_uid.upgrade() else { return };
            for owner in owners {
                by_uid.find_keys(&CertificateIndex::Uid(owner)).into_iter().for_each(|key| certificates.add(key));
            }
        })]);
    }

    fn wake_by_orders(&self, queues: &Queues) {
        let queue = queues.orders.clone();
        let owners = Owners { queue: queues.requests.clone(), cache: Arc::clone(&self.requests) };
        let certificates = self.certificate_of_request(queues);
        self.orders.listen(vec![Box::new(move |old, new| {
            if let Some(order) = new {
                queue.add(order.meta.key.clone());
            }
            for order in old.into_iter().chain(new) {
                if let Some(request) = owners.wake(&order.meta, |r| RequestIndex::Uid(r)) {
                    // What the order waits for is told on the Certificate.
                    certificates(&request.meta);
                }
            }
        })]);
    }

    fn wake_by_challenges(&self, queues: &Queues) {
        let queue = queues.challenges.clone();
        let owners = Owners { queue: queues.orders.clone(), cache: Arc::clone(&self.orders) };
        let requests = Arc::clone(&self.requests);
        let certificates = self.certificate_of_request(queues);
        self.challenges.listen(vec![Box::new(move |old, new| {
            for challenge in old.into_iter().chain(new) {
                queue.add(challenge.meta.key.clone());
                let Some(order) = owners.wake(&challenge.meta, OrderIndex::Uid) else { continue };
                let Some(owner) = order.meta.controller.clone() else { continue };
                for request in requests.find(&RequestIndex::Uid(owner)) {
                    certificates(&request.meta);
                }
            }
        })]);
    }

    fn wake_by_issuers<K: IssuerResource>(
        &self,
        cache: &Cache<IssuerFacts<K>>,
        queue: &Queue,
        queues: &Queues,
    ) {
        let queue = queue.clone();
        let wake = self.users_of_issuer(queues);
        cache.listen(vec![Box::new(move |old, new| {
            if is_news(old, new) && let Some(issuer) = new {
                queue.add(issuer.meta.key.clone());
            }
            if let Some(issuer) = new.or(old) {
                wake(K::KIND, &issuer.meta.key);
            }
        })]);
    }

    fn wake_by_secrets(&self, queues: &Queues) {
        let ours = self.users_of_secret(queues);
        let certificates = queues.certificates.clone();
        let by_uid = Arc::clone(&self.certificates);
        self.secrets.listen(vec![Box::new(move |old, new| {
            for secret in old.into_iter().chain(new) {
                ours(&secret.meta().key);
                if let Some(owner) = &secret.meta().controller {
                    let owners = by_uid.find_keys(&CertificateIndex::Uid(owner.clone()));
                    owners.into_iter().for_each(|key| certificates.add(key));
                }
            }
        })]);
        let others = self.users_of_secret(queues);
        self.other_secrets.listen(vec![Box::new(move |old, new| {
            if let Some(secret) = new.or(old) {
                others(&secret.meta.key);
            }
        })]);
    }

    /// Open HTTP-01 challenges are led to the addresses that are ready now.
    fn wake_by_endpoints(&self, queues: &Queues) {
        let challenges = Arc::clone(&self.challenges);
        let queue = queues.challenges.clone();
        self.slices.listen(vec![Box::new(move |_, _| {
            challenges.for_each(|challenge| {
                if challenge.spec.type_ == ChallengeType::Http01 && !challenge.is_final() {
                    queue.add(challenge.meta.key.clone());
                }
            });
        })]);
    }

    /// Wakes the Certificates and issuers that name a Secret, and the Challenges of the latter.
    fn users_of_secret(&self, queues: &Queues) -> impl Fn(&ObjectKey) + Send + Sync + 'static {
        let caches = self.clone();
        let queues = queues.clone();
        let wake = self.users_of_issuer(&queues);
        move |secret| {
            let named = CertificateIndex::Secret(secret.clone());
            for key in caches.certificates.find_keys(&named) {
                queues.certificates.add(key);
            }
            let namespace = &caches.issuers.cluster_resource_namespace;
            for key in naming_secret(&caches.issuers.namespaced, secret, namespace) {
                wake(IssuerKind::Issuer, &key);
                queues.issuers.add(key);
            }
            for key in naming_secret(&caches.issuers.cluster, secret, namespace) {
                wake(IssuerKind::ClusterIssuer, &key);
                queues.cluster_issuers.add(key);
            }
        }
    }

    /// Wakes what waits for an issuer.
    fn users_of_issuer(
        &self,
        queues: &Queues,
    ) -> impl Fn(IssuerKind, &ObjectKey) + Send + Sync + 'static {
        let (certificates, requests) = (Arc::clone(&self.certificates), Arc::clone(&self.requests));
        let (orders, challenges) = (Arc::clone(&self.orders), Arc::clone(&self.challenges));
        let queues = queues.clone();
        move |kind, key| {
            let issuer = IssuerAddress {
                group: crate::api::names::GROUP.to_owned(),
                kind: kind.as_str().to_owned(),
                namespace: key.namespace.to_string(),
                name: key.name.to_string(),
            };
            for key in requests.find_keys(&RequestIndex::Issuer(issuer.clone())) {
                queues.requests.add(key);
            }
            for key in orders.find_keys(&OrderIndex::Issuer(issuer.clone())) {
                queues.orders.add(key);
            }
            for key in challenges.find_keys(&ChallengeIndex::Issuer(issuer.clone())) {
                queues.challenges.add(key);
            }
            // Only those whose message may speak of the issuer.
            for key in certificates.find_keys(&CertificateIndex::Issuer(issuer)) {
                queues.certificates.add(key);
            }
        }
    }

    /// Wakes the Certificate that owns a request.
    fn certificate_of_request(&self, queues: &Queues) -> impl Fn(&Meta) + Send + Sync + 'static {
        let certificates = Arc::clone(&self.certificates);
        let queue = queues.certificates.clone();
        move |request| {
            let Some(owner) = request.controller.clone() else { return };
            certificates.find_keys(&CertificateIndex::Uid(owner)).into_iter().for_each(|key| queue.add(key));
        }
    }
}

/// Wakes the owner of an object.
struct Owners<F: Facts> {
    queue: Queue,
    cache: Arc<Cache<F>>,
}

impl<F: Facts> Owners<F> {
    fn wake(&self, owned: &Meta, index: impl Fn(String) -> F::Index) -> Option<Arc<F>> {
        let owner = self.cache.find(&index(owned.controller.clone()?)).pop()?;
        self.queue.add(owner.meta().key.clone());
        Some(owner)
    }
}

/// Starts watches.
struct Watcher<'a> {
    client: &'a Client,
    scope: &'a Scope,
    readiness: &'a Readiness,
    tasks: &'a TaskTracker,
    on_invalid: &'a OnInvalid,
}

impl Watcher<'_> {
    fn namespaced<K, F>(&self, cache: &Arc<Cache<F>>)
    where
        K: Kind + Resource<Scope = NamespaceResourceScope>,
        F: Facts<Object = K>,
    {
        let api: Api<DeserializeGuard<K>> = match &self.scope.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        self.start(api, None, cache);
    }

    fn cluster<K, F>(&self, cache: &Arc<Cache<F>>)
    where
        K: Kind + Resource<Scope = ClusterResourceScope>,
        F: Facts<Object = K>,
    {
        self.start(Api::<DeserializeGuard<K>>::all(self.client.clone()), None, cache);
    }

    fn start<K, F>(&self, api: Api<DeserializeGuard<K>>, selector: Option<String>, cache: &Arc<Cache<F>>)
    where
        K: Kind,
        F: Facts<Object = K>,
    {
        self.gate(K::plural(&()).as_ref(), cache);
        let (cache, on_invalid) = (Arc::clone(cache), Arc::clone(self.on_invalid));
        self.tasks.spawn(async move {
            watch::objects(api, selector.as_deref(), cache, on_invalid).await;
        });
    }

    /// Secrets of ours by what they hold, all others by their metadata: no credentials of others
    /// ever come here unless a reconcile needs them.
    fn secrets(&self, ours: &Arc<Cache<SecretFacts>>, others: &Arc<Cache<Bystander>>) {
        let selector = format!("{}=true", label::WATCHED_SECRET);
        let client = self.client.clone();
        let (watched, rest) = match &self.scope.namespace {
            Some(namespace) => {
                (Api::namespaced(client.clone(), namespace), Api::namespaced(client, namespace))
            }
            None => (Api::all(client.clone()), Api::all(client)),
        };
        self.start::<Secret, _>(watched, Some(selector), ours);
        self.gate("metadata of other secrets", others);
        let selector = format!("{}!=true", label::WATCHED_SECRET);
        let others = Arc::clone(others);
        self.tasks.spawn(async move { watch::metadata(rest, Some(&selector), others).await });
    }

    fn slices(&self, service: &ObjectKey, cache: &Arc<Cache<SliceFacts>>) {
        let selector = format!("{}={}", label::SERVICE_NAME, service.name);
        let api = Api::namespaced(self.client.clone(), &service.namespace);
        self.start::<EndpointSlice, _>(api, Some(selector), cache);
    }

    fn gate<F: Facts>(&self, plural: &str, cache: &Arc<Cache<F>>) {
        let gate = self.readiness.gate(format!("cache of {plural}"), "first list");
        let cache = Arc::clone(cache);
        self.tasks.spawn(async move {
            cache.synced().await;
            gate.open();
        });
    }
}
