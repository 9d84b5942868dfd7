//! Who is woken by a list of revoked certificates, and for one?

use std::sync::Arc;

use super::{Caches, Queues};
use crate::{
    api::issuance::IssuanceState,
    cluster::{Facts, ObjectKey},
    crl::facts::issuers_at,
    retire::facts::IssuanceIndex,
};

impl Caches {
    /// A list that changed may hold what waits for it, or may have to be put right.
    pub(super) fn wake_by_lists(&self, queues: &Queues) {
        let queue = queues.lists.clone();
        let namespace = Arc::clone(&self.issuers.cluster_resource_namespace);
        let listed = self.listed_by(queues);
        self.lists.listen(vec![Box::new(move |old, new| {
            let Some(list) = new.or(old) else { return };
            for issuer in issuers_at(&list.meta().key, &namespace) {
                listed(&issuer);
                queue.add(issuer);
            }
        })]);
    }

    /// Wakes the records of certificates that wait for the list of an issuer.
    pub(super) fn listed_by(&self, queues: &Queues) -> impl Fn(&ObjectKey) + Send + Sync + use<> {
        let (records, queue) = (Arc::clone(&self.issuances), queues.issuances.clone());
        move |issuer| {
            let waiting = records.find(&IssuanceIndex::List(issuer.clone()));
            let waiting = waiting
                .iter()
                .filter(|record| record.state() == IssuanceState::Revoking);
            waiting.for_each(|record| queue.add(record.meta().key.clone()));
        }
    }
}
