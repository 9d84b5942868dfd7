//! Which requests are left alone because they are answered where their Certificate is worked on?

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    cluster::{Cache, OwnerKey, Queue},
    request::facts::{RequestFacts, RequestIndex},
};

/// The Certificates, by uid, whose requests are in hand. Clones share it.
#[derive(Clone)]
pub struct InHand {
    owners: Arc<Mutex<HashSet<OwnerKey>>>,
    requests: Arc<Cache<RequestFacts>>,
    queue: Queue,
}

/// As long as this lives, the requests of one Certificate are in hand.
#[must_use]
pub struct Hold {
    in_hand: InHand,
    owner: OwnerKey,
}

impl InHand {
    /// None yet. When one of `requests` is let go and not over, `queue` is told.
    pub fn new(requests: Arc<Cache<RequestFacts>>, queue: Queue) -> Self {
        Self {
            owners: Arc::default(),
            requests,
            queue,
        }
    }

    /// Take the requests of the Certificate `owner` in hand.
    pub fn take(&self, owner: OwnerKey) -> Hold {
        self.owners().insert(owner.clone());
        Hold {
            in_hand: self.clone(),
            owner,
        }
    }

    /// Whether `request` is in hand.
    pub(super) fn holds(&self, request: &RequestFacts) -> bool {
        let owner = request.meta.owner();
        owner.is_some_and(|owner| self.owners().contains(&owner))
    }

    fn owners(&self) -> MutexGuard<'_, HashSet<OwnerKey>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.in_hand.owners().remove(&self.owner);
        let index = RequestIndex::Owner(self.owner.clone());
        for request in self.in_hand.requests.find(&index) {
            if !request.is_over() {
                self.in_hand.queue.add(request.meta.key.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::Facts;

    fn request(name: &str, owner: &str, ready: &str) -> crate::api::request::CertificateRequest {
        serde_json::from_value(json!({
            "apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest",
            "metadata": {
                "namespace": "web", "name": name, "uid": name, "resourceVersion": "1",
                "ownerReferences": [{
                    "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": owner,
                    "uid": owner, "controller": true,
                }],
            },
            "spec": {"issuerRef": {"name": "ca"}, "request": ""},
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_let_go_and_not_over_is_looked_at() {
        let requests: Arc<Cache<RequestFacts>> = Arc::default();
        for (name, owner, ready) in [
            ("a-1", "a", "Failed"),
            ("a-2", "a", "Pending"),
            ("b-1", "b", "Pending"),
        ] {
            requests.observe(request(name, owner, ready));
        }
        let queue = Queue::default();
        let in_hand = InHand::new(requests, queue.clone());
        let hold = in_hand.take(OwnerKey::new(&"web".into(), "a"));
        let holds = |owner| in_hand.holds(&RequestFacts::reduce(request("r", owner, "Pending")));
        assert!(holds("a") && !holds("b"));
        assert!(queue.is_empty());
        drop(hold);
        assert!(!holds("a"));
        assert_eq!(queue.len(), 1);
    }
}
