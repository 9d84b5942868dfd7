//! Who is woken by which change.

use std::sync::Arc;

use super::Caches;
use crate::{
    api::{challenge::ChallengeType, names, reference::IssuerAddress},
    certificate::facts::{CertificateFacts, CertificateIndex},
    challenge::facts::ChallengeIndex,
    cluster::{Cache, Facts, Meta, ObjectKey, Queue},
    issuer::{
        IssuerFacts, IssuerKind, IssuerView,
        facts::{IssuerResource, is_news, is_news_to_users, naming_secret},
    },
    order::facts::OrderIndex,
    request::facts::RequestIndex,
    retire::facts::{IssuanceFacts, IssuanceIndex},
    signing_request::facts::SigningRequestIndex,
};

/// The queues of the reconcilers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Queues {
    /// Of Certificates.
    pub certificates: Queue,
    /// Of Certificates whose CA is asked when to renew them.
    pub renewal_infos: Queue,
    /// Of Certificates that wait after a failure that DNS may have had a part in.
    pub answers: Queue,
    /// Of CertificateRequests.
    pub requests: Queue,
    /// Of CertificateSigningRequests.
    pub signing_requests: Queue,
    /// Of Orders.
    pub orders: Queue,
    /// Of Challenges.
    pub challenges: Queue,
    /// Of Issuers.
    pub issuers: Queue,
    /// Of ClusterIssuers.
    pub cluster_issuers: Queue,
    /// Of Ingresses.
    pub routes: Queue,
    /// Of the ConfigMap of signers.
    pub signers: Queue,
    /// Of Issuances.
    pub issuances: Queue,
    /// Of Certificates that are gone, by namespace and uid.
    pub departures: Queue,
    /// Of lists of revoked certificates, by the issuer.
    pub lists: Queue,
}

impl Caches {
    /// Wake the reconcilers behind `queues` by every change that concerns them. Once, before
    /// [`Caches::watch`].
    pub fn wake(&self, queues: &Queues) {
        self.wake_by_certificates(queues);
        self.wake_by_requests(queues);
        let queue = queues.signing_requests.clone();
        self.signing_requests.listen(vec![Box::new(move |_, new| {
            if let Some(request) = new.filter(|request| request.asked.is_some()) {
                queue.add(request.meta.key.clone());
            }
        })]);
        self.wake_by_orders(queues);
        self.wake_by_challenges(queues);
        self.wake_by_issuers(&self.issuers.namespaced, &queues.issuers, queues);
        self.wake_by_issuers(&self.issuers.cluster, &queues.cluster_issuers, queues);
        self.wake_by_secrets(queues);
        self.wake_by_endpoints(queues);
        self.wake_by_issuances(queues);
        self.wake_by_lists(queues);
        self.wake_by_namespaces(queues);
        let queue = queues.routes.clone();
        self.routes.listen(vec![Box::new(move |_, new| {
            if let Some(route) = new.filter(|route| route.asks()) {
                queue.add(route.meta().key.clone());
            }
        })]);
        let queue = queues.signers.clone();
        self.signers.listen(vec![Box::new(move |old, new| {
            if let Some(signers) = new.or(old) {
                queue.add(signers.meta().key.clone());
            }
        })]);
    }

    fn wake_by_certificates(&self, queues: &Queues) {
        let cache = Arc::downgrade(&self.certificates);
        let queue = queues.certificates.clone();
        let records = self.records_of_certificate(queues);
        let orphans = Arc::clone(&self.orphans);
        self.certificates.listen(vec![Box::new(move |old, new| {
            // Before anybody is woken who counts.
            orphans.change_certificate(old.map(AsRef::as_ref), new.map(AsRef::as_ref));
            records(old, new);
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
                cache
                    .find_keys(&CertificateIndex::Secret(secret))
                    .into_iter()
                    .for_each(|key| queue.add(key));
            }
        })]);
    }

    fn wake_by_requests(&self, queues: &Queues) {
        let queue = queues.requests.clone();
        let certificates = queues.certificates.clone();
        let by_uid = Arc::downgrade(&self.certificates);
        let foreign = Arc::clone(&self.foreign_signers);
        self.requests.listen(vec![Box::new(move |old, new| {
            if let Some(request) = new {
                queue.add(request.meta.key.clone());
                foreign.notice(&request.issuer_ref);
            }
            let owners = old
                .into_iter()
                .chain(new)
                .filter_map(|r| r.meta.controller.clone());
            let Some(by_uid) = by_uid.upgrade() else {
                return;
            };
            for owner in owners {
                by_uid
                    .find_keys(&CertificateIndex::Uid(owner))
                    .into_iter()
                    .for_each(|key| certificates.add(key));
            }
        })]);
    }

    fn wake_by_orders(&self, queues: &Queues) {
        let queue = queues.orders.clone();
        let owners = Owners {
            queue: queues.requests.clone(),
            cache: Arc::clone(&self.requests),
        };
        let certificates = self.certificate_of_request(queues);
        let others = Owners {
            queue: queues.signing_requests.clone(),
            cache: Arc::clone(&self.signing_requests),
        };
        self.orders.listen(vec![Box::new(move |old, new| {
            if let Some(order) = new {
                queue.add(order.meta.key.clone());
            }
            for order in old.into_iter().chain(new) {
                others.wake(&order.meta, SigningRequestIndex::Uid);
                if let Some(request) = owners.wake(&order.meta, RequestIndex::Uid) {
                    // What the order waits for is told on the Certificate.
                    certificates(&request.meta);
                }
            }
        })]);
    }

    fn wake_by_challenges(&self, queues: &Queues) {
        let queue = queues.challenges.clone();
        let owners = Owners {
            queue: queues.orders.clone(),
            cache: Arc::clone(&self.orders),
        };
        let requests = Arc::clone(&self.requests);
        let certificates = self.certificate_of_request(queues);
        self.challenges.listen(vec![Box::new(move |old, new| {
            for challenge in old.into_iter().chain(new) {
                queue.add(challenge.meta.key.clone());
                let Some(order) = owners.wake(&challenge.meta, OrderIndex::Uid) else {
                    continue;
                };
                let Some(owner) = order.meta.controller.clone() else {
                    continue;
                };
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
        let lists = queues.lists.clone();
        let listed = self.listed_by(queues);
        let departed = Arc::clone(&self.departed);
        let namespace = Arc::clone(&self.issuers.cluster_resource_namespace);
        let (records, issuances) = (Arc::clone(&self.issuances), queues.issuances.clone());
        cache.listen(vec![Box::new(move |old, new| {
            if let (Some(old), Some(new)) = (old, new)
                && old.spec.deletion_policy != new.spec.deletion_policy
            {
                let issued = records.find_keys(&IssuanceIndex::Issuer(new.meta.key.clone()));
                issued.into_iter().for_each(|key| issuances.add(key));
            }
            if is_news(old, new)
                && let Some(issuer) = new
            {
                queue.add(issuer.meta.key.clone());
                lists.add(issuer.meta.key.clone());
            }
            if new.is_none()
                && let Some(issuer) = old
            {
                departed.note_issuer(IssuerView::of(issuer, &namespace));
                queue.add(issuer.meta.key.clone());
            }
            if let Some(issuer) = new.or(old) {
                listed(&issuer.meta.key, None);
            }
            if let Some(issuer) = new.or(old)
                && is_news_to_users(old, new)
            {
                wake(K::KIND, &issuer.meta.key);
            }
        })]);
    }

    fn wake_by_secrets(&self, queues: &Queues) {
        let ours = self.users_of_secret(queues);
        let certificates = queues.certificates.clone();
        let by_uid = Arc::clone(&self.certificates);
        let (records, issuances) = (Arc::clone(&self.issuances), queues.issuances.clone());
        self.secrets.listen(vec![Box::new(move |old, new| {
            for secret in old.into_iter().chain(new) {
                ours(&secret.meta().key);
                let index = IssuanceIndex::Secret(secret.meta().key.clone());
                let named = records.find_keys(&index);
                named.into_iter().for_each(|key| issuances.add(key));
                if let Some(owner) = &secret.meta().controller {
                    let owners = by_uid.find_keys(&CertificateIndex::Uid(owner.clone()));
                    owners.into_iter().for_each(|key| certificates.add(key));
                }
            }
        })]);
        let others = self.users_of_secret(queues);
        self.other_secrets.listen(vec![Box::new(move |old, new| {
            if let Some(secret) = new.or(old) {
                others(&secret.meta().key);
            }
        })]);
    }

    /// The records of what a Certificate keeps, and what it said last when it goes.
    fn records_of_certificate(
        &self,
        queues: &Queues,
    ) -> impl Fn(Option<&Arc<CertificateFacts>>, Option<&Arc<CertificateFacts>>) + Send + Sync + use<>
    {
        let (records, departed) = (Arc::clone(&self.issuances), Arc::clone(&self.departed));
        let (queue, departures) = (queues.issuances.clone(), queues.departures.clone());
        move |old, new| {
            if let (Some(gone), None) = (old, new) {
                departed.note(gone);
                if gone.is_issued_here {
                    let meta = gone.meta();
                    let namespace = Arc::clone(&meta.key.namespace);
                    departures.add(ObjectKey::new(namespace, meta.uid.as_str()));
                }
            }
            for certificate in old.into_iter().chain(new) {
                for index in [
                    IssuanceIndex::Secret(certificate.secret()),
                    IssuanceIndex::Certificate(certificate.meta().uid.clone()),
                ] {
                    let keys = records.find_keys(&index);
                    keys.into_iter().for_each(|key| queue.add(key));
                }
            }
        }
    }

    /// A certificate that is withdrawn is to be replaced, and others with the same key too.
    fn wake_by_issuances(&self, queues: &Queues) {
        let queue = queues.issuances.clone();
        let (certificates, keepers) = (Arc::clone(&self.certificates), queues.certificates.clone());
        let records = Arc::downgrade(&self.issuances);
        let lists = queues.lists.clone();
        let counts = Arc::clone(&self.issuance_counts);
        let orphans = Arc::clone(&self.orphans);
        self.issuances.listen(vec![Box::new(move |old, new| {
            counts.note(old, new);
            // Before anybody is woken who counts.
            orphans.change(old.map(AsRef::as_ref), new.map(AsRef::as_ref));
            for issuance in old.into_iter().chain(new) {
                queue.add(issuance.meta().key.clone());
            }
            if let Some(issuance) = new.filter(|issuance| issuance.is_listed()) {
                issuance
                    .list
                    .iter()
                    .for_each(|issuer| lists.add(issuer.clone()));
            }
            let withdrawn = |facts: Option<&Arc<IssuanceFacts>>| {
                facts.is_some_and(|facts| facts.is_withdrawn())
            };
            let Some(issuance) = new.filter(|_| withdrawn(old) || withdrawn(new)) else {
                return;
            };
            for (secret, _) in issuance.places() {
                let index = CertificateIndex::Secret(secret.clone());
                let found = certificates.find_keys(&index);
                found.into_iter().for_each(|key| keepers.add(key));
            }
            if issuance.is_compromised()
                && let Some(records) = records.upgrade()
            {
                let index = IssuanceIndex::Key(issuance.public_key.clone());
                let same = records.find_keys(&index);
                same.into_iter().for_each(|key| queue.add(key));
            }
        })]);
    }

    fn wake_by_namespaces(&self, queues: &Queues) {
        let (records, queue) = (Arc::clone(&self.issuances), queues.issuances.clone());
        self.namespaces.listen(vec![Box::new(move |_, new| {
            if let Some(namespace) = new.filter(|namespace| namespace.meta().deleting) {
                let name = Arc::clone(&namespace.meta().key.name);
                let keys = records.find_keys(&IssuanceIndex::Namespace(name));
                keys.into_iter().for_each(|key| queue.add(key));
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

    /// Wakes the Certificates, issuers and requests that name a Secret, and what waits for these
    /// issuers.
    fn users_of_secret(&self, queues: &Queues) -> impl Fn(&ObjectKey) + Send + Sync + use<> {
        let caches = self.clone();
        let queues = queues.clone();
        let wake = self.users_of_issuer(&queues);
        move |secret| {
            for named in [CertificateIndex::Secret, CertificateIndex::Password] {
                for key in caches.certificates.find_keys(&named(secret.clone())) {
                    queues.certificates.add(key);
                }
            }
            for key in caches
                .requests
                .find_keys(&RequestIndex::Key(secret.clone()))
            {
                queues.requests.add(key);
            }
            let namespace = &caches.issuers.cluster_resource_namespace;
            let of_cluster_issuers = (*secret.namespace == **namespace)
                .then(|| ObjectKey::cluster(Arc::clone(&secret.name)));
            for key in of_cluster_issuers.into_iter().chain([secret.clone()]) {
                let named = SigningRequestIndex::Key(key);
                for key in caches.signing_requests.find_keys(&named) {
                    queues.signing_requests.add(key);
                }
            }
            for key in naming_secret(&caches.issuers.namespaced, secret, namespace) {
                wake(IssuerKind::Issuer, &key);
                queues.lists.add(key.clone());
                queues.issuers.add(key);
            }
            for key in naming_secret(&caches.issuers.cluster, secret, namespace) {
                wake(IssuerKind::ClusterIssuer, &key);
                queues.lists.add(key.clone());
                queues.cluster_issuers.add(key);
            }
        }
    }

    /// Wakes what waits for an issuer.
    fn users_of_issuer(
        &self,
        queues: &Queues,
    ) -> impl Fn(IssuerKind, &ObjectKey) + Send + Sync + use<> {
        let (certificates, requests) = (Arc::clone(&self.certificates), Arc::clone(&self.requests));
        let (orders, challenges) = (Arc::clone(&self.orders), Arc::clone(&self.challenges));
        let signing_requests = Arc::clone(&self.signing_requests);
        let queues = queues.clone();
        move |kind, key| {
            let issuer = IssuerAddress {
                group: names::GROUP.to_owned(),
                kind: kind.as_str().to_owned(),
                namespace: key.namespace.to_string(),
                name: key.name.to_string(),
            };
            for key in requests.find_keys(&RequestIndex::Issuer(issuer.clone())) {
                queues.requests.add(key);
            }
            for key in signing_requests.find_keys(&SigningRequestIndex::Issuer(issuer.clone())) {
                queues.signing_requests.add(key);
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
    fn certificate_of_request(&self, queues: &Queues) -> impl Fn(&Meta) + Send + Sync + use<> {
        let certificates = Arc::clone(&self.certificates);
        let queue = queues.certificates.clone();
        move |request| {
            let Some(owner) = request.controller.clone() else {
                return;
            };
            certificates
                .find_keys(&CertificateIndex::Uid(owner))
                .into_iter()
                .for_each(|key| queue.add(key));
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

#[cfg(test)]
mod tests;
