//! What is there to be worked on when this process begins to lead?
//!
//! A standby keeps no queue: it would grow with everything that ever was.

use std::sync::Arc;

use super::{Caches, Queues};
use crate::{
    cluster::{Cache, Facts, Queue},
    crl::facts::issuers_at,
};

impl Queues {
    /// Queues that keep nothing until they are opened, each with its [`Seed`]; but for those that
    /// only reconcilers ask, who do not begin all at once.
    pub fn closed() -> Self {
        let queues = Self::default();
        let Self {
            certificates,
            renewal_infos: _,
            answers: _,
            requests,
            signing_requests,
            orders,
            challenges,
            issuers,
            cluster_issuers,
            routes,
            signers,
            issuances,
            departures,
            lists,
        } = &queues;
        for queue in [
            certificates,
            requests,
            signing_requests,
            orders,
            challenges,
            issuers,
            cluster_issuers,
            routes,
            signers,
            issuances,
            departures,
            lists,
        ] {
            queue.close();
        }
        queues
    }
}

/// Asks for everything that is known.
pub type Seed = Box<dyn FnOnce(&Queue) + Send>;

/// Every object in `cache`.
pub fn all<F: Facts>(cache: &Arc<Cache<F>>) -> Seed {
    let cache = Arc::clone(cache);
    Box::new(move |queue| cache.keys().into_iter().for_each(|key| queue.add(key)))
}

/// Nothing: others ask as they go.
pub fn nothing() -> Seed {
    Box::new(|_| ())
}

impl Caches {
    /// The lists of all issuers, those that are gone included.
    pub fn every_list(&self) -> Seed {
        let (namespaced, cluster) = (all(&self.issuers.namespaced), all(&self.issuers.cluster));
        let lists = Arc::clone(&self.lists);
        let namespace = Arc::clone(&self.issuers.cluster_resource_namespace);
        Box::new(move |queue| {
            namespaced(queue);
            cluster(queue);
            for list in lists.keys() {
                let issuers = issuers_at(&list, &namespace);
                issuers.into_iter().for_each(|issuer| queue.add(issuer));
            }
        })
    }

    /// The Ingresses that ask for a certificate.
    pub fn every_route(&self) -> Seed {
        let routes = Arc::clone(&self.routes);
        Box::new(move |queue| {
            routes.for_each(|route| {
                if route.asks() {
                    queue.add(route.meta().key.clone());
                }
            });
        })
    }

    /// The Certificates that were seen going.
    pub fn every_departure(&self) -> Seed {
        let departed = Arc::clone(&self.departed);
        Box::new(move |queue| departed.keys().into_iter().for_each(|key| queue.add(key)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::certificate::Certificate, cluster::ObjectKey};

    #[test]
    fn a_standby_keeps_no_queue_and_begins_with_all_there_is() {
        let caches = Caches::new("system", None);
        let queues = Queues::closed();
        caches.wake(&queues);
        let certificate = |name: &str, is_ours: bool| -> Certificate {
            let manager = if is_ours { "certwright" } else { "kubectl" };
            let value = json!({
                "metadata": {
                    "namespace": "web", "name": name, "uid": name, "resourceVersion": "1",
                    "managedFields": [{
                        "manager": manager, "operation": "Update", "subresource": "status",
                        "fieldsV1": {"f:status": {"f:revision": {}}},
                    }],
                },
                "spec": {"secretName": name, "issuerRef": {"name": "ca"}},
                "status": {"revision": 1},
            });
            serde_json::from_value(value).unwrap()
        };
        for name in ["stays", "gone", "theirs"] {
            caches
                .certificates
                .observe(certificate(name, name == "gone"));
        }
        for name in ["gone", "theirs"] {
            caches
                .certificates
                .forget(&ObjectKey::new("web", name), name);
        }
        assert!(queues.certificates.is_empty() && queues.departures.is_empty());
        queues.certificates.open();
        all(&caches.certificates)(&queues.certificates);
        assert_eq!(queues.certificates.len(), 1);
        // Of those that went, only what was issued here is looked at.
        queues.departures.open();
        caches.every_departure()(&queues.departures);
        assert_eq!(queues.departures.len(), 1);
    }
}
