//! Which objects are watched.

use std::{future::Future, sync::Arc};

use k8s_openapi::api::{
    certificates::v1::CertificateSigningRequest,
    core::v1::{ConfigMap, Namespace, Secret},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, NamespaceResourceScope},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Caches, Scope, Standing};
use crate::{
    api::{
        certificate::Certificate,
        challenge::Challenge,
        issuance::Issuance,
        issuer::{ClusterIssuer, Issuer},
        names::{TRUE, label},
        order::Order,
        request::CertificateRequest,
    },
    certificate::secret::SecretFacts,
    cluster::{
        Cache, Facts, ObjectKey,
        health::Readiness,
        unread::Unread,
        watch::{self, OnInvalid, Select},
        write::Kind,
    },
    crl::{ListFacts, facts::LABEL},
    route::RouteFacts,
    signing_request::facts::SigningRequestFacts,
    solver::http01::endpoints::SliceFacts,
};

impl Caches {
    /// Start all watches, each with its gate in `readiness`; they end with `stop`.
    pub fn watch(
        &self,
        client: &Client,
        scope: &Scope,
        readiness: &Readiness,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        on_invalid: &OnInvalid,
    ) {
        let watcher = Watcher {
            client,
            scope,
            readiness,
            tasks,
            stop,
            on_invalid,
        };
        watcher.namespaced::<Certificate, _>(&self.certificates);
        watcher.namespaced::<CertificateRequest, _>(&self.requests);
        watcher.namespaced::<Order, _>(&self.orders);
        watcher.namespaced::<Challenge, _>(&self.challenges);
        watcher.namespaced::<Issuer, _>(&self.issuers.namespaced);
        if scope.namespace.is_none() {
            watcher.cluster::<ClusterIssuer, _>(&self.issuers.cluster);
            watcher.namespaces(&self.namespaces);
        }
        let records = Api::namespaced(client.clone(), &scope.issuances);
        watcher.start::<Issuance, _>(records, Select::All, &self.issuances);
        watcher.secrets(&self.secrets, &self.other_secrets);
        watcher.routes(&self.routes);
        watcher.lists(&self.lists);
        if let Some(service) = &scope.solver_service {
            watcher.slices(service, &self.slices);
        }
        if scope.signing_requests {
            watcher.signing_requests(&self.signing_requests);
        }
        if let Some(signers) = &scope.signers {
            let api = Api::namespaced(client.clone(), &signers.namespace);
            let select = Select::Name(signers.name.to_string());
            watcher.start::<ConfigMap, _>(api, select, &self.signers);
        }
    }
}

/// Starts watches.
struct Watcher<'a> {
    client: &'a Client,
    scope: &'a Scope,
    readiness: &'a Readiness,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
    on_invalid: &'a OnInvalid,
}

impl Watcher<'_> {
    fn namespaced<K, F>(&self, cache: &Arc<Cache<F>>)
    where
        K: Kind + Resource<Scope = NamespaceResourceScope>,
        F: Facts<Object = K>,
    {
        let api: Api<Unread<K>> = match &self.scope.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        self.start(api, Select::All, cache);
    }

    fn cluster<K, F>(&self, cache: &Arc<Cache<F>>)
    where
        K: Kind + Resource<Scope = ClusterResourceScope>,
        F: Facts<Object = K>,
    {
        self.start(
            Api::<Unread<K>>::all(self.client.clone()),
            Select::All,
            cache,
        );
    }

    fn start<K, F>(&self, api: Api<Unread<K>>, select: Select, cache: &Arc<Cache<F>>)
    where
        K: Kind,
        F: Facts<Object = K>,
    {
        self.gate(K::plural(&()).as_ref(), cache);
        let (cache, on_invalid) = (Arc::clone(cache), Arc::clone(self.on_invalid));
        self.spawn(async move {
            watch::objects(api, select, cache, on_invalid).await;
        });
    }

    /// Secrets of ours by what they hold, all others by their metadata: no credentials of others
    /// ever come here unless a reconcile needs them.
    fn secrets(&self, ours: &Arc<Cache<SecretFacts>>, others: &Arc<Cache<Standing<Secret>>>) {
        let selector = format!("{}=true", label::WATCHED_SECRET);
        let client = self.client.clone();
        let (watched, rest) = match &self.scope.namespace {
            Some(namespace) => (
                Api::namespaced(client.clone(), namespace),
                Api::namespaced(client, namespace),
            ),
            None => (Api::all(client.clone()), Api::all(client)),
        };
        self.start::<Secret, _>(watched, Select::Labels(selector), ours);
        self.gate("metadata of other secrets", others);
        let selector = format!("{}!=true", label::WATCHED_SECRET);
        let others = Arc::clone(others);
        self.spawn(async move { watch::metadata(rest, Select::Labels(selector), others).await });
    }

    fn routes(&self, cache: &Arc<Cache<RouteFacts>>) {
        let api = match &self.scope.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        self.gate("metadata of ingresses", cache);
        let cache = Arc::clone(cache);
        self.spawn(async move { watch::metadata(api, Select::All, cache).await });
    }

    fn namespaces(&self, cache: &Arc<Cache<Standing<Namespace>>>) {
        self.gate("metadata of namespaces", cache);
        let (api, cache) = (Api::<_>::all(self.client.clone()), Arc::clone(cache));
        self.spawn(async move { watch::metadata::<Namespace, _>(api, Select::All, cache).await });
    }

    /// Without a gate in the readiness: nothing else waits for them.
    fn lists(&self, cache: &Arc<Cache<ListFacts>>) {
        let api: Api<Unread<ConfigMap>> = match &self.scope.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let (cache, on_invalid) = (Arc::clone(cache), Arc::clone(self.on_invalid));
        let select = Select::Labels(format!("{LABEL}={TRUE}"));
        self.spawn(async move { watch::objects(api, select, cache, on_invalid).await });
    }

    /// Without a gate in the readiness: nothing else waits for them.
    fn signing_requests(&self, cache: &Arc<Cache<SigningRequestFacts>>) {
        let api: Api<Unread<CertificateSigningRequest>> = Api::all(self.client.clone());
        let (cache, on_invalid) = (Arc::clone(cache), Arc::clone(self.on_invalid));
        self.spawn(async move {
            let ours = SigningRequestFacts::is_ours;
            watch::some_objects(api, Select::All, ours, cache, on_invalid).await;
        });
    }

    fn slices(&self, service: &ObjectKey, cache: &Arc<Cache<SliceFacts>>) {
        let selector = format!("{}={}", label::SERVICE_NAME, service.name);
        let api = Api::namespaced(self.client.clone(), &service.namespace);
        self.start::<EndpointSlice, _>(api, Select::Labels(selector), cache);
    }

    fn spawn(&self, watch: impl Future<Output = ()> + Send + 'static) {
        self.tasks
            .spawn(self.stop.clone().run_until_cancelled_owned(watch));
    }

    fn gate<F: Facts>(&self, plural: &str, cache: &Arc<Cache<F>>) {
        let gate = self
            .readiness
            .gate(format!("cache of {plural}"), "first list");
        let cache = Arc::clone(cache);
        self.spawn(async move {
            cache.synced().await;
            gate.open();
        });
    }
}
