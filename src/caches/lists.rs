//! Who is woken by a list of revoked certificates, and for one?

use std::{collections::BTreeMap, sync::Arc};

use super::{Caches, Queues};
use crate::{
    api::issuance::IssuanceState,
    cluster::{Facts, ObjectKey},
    crl::facts::issuers_at,
    pki::crl::{Entry, SerialNumber},
    retire::facts::{IssuanceFacts, IssuanceIndex},
};

/// What is on a list.
type Entries = BTreeMap<SerialNumber, Entry>;

impl Caches {
    /// A list that changed may hold what waits for it, or may have to be put right.
    pub(super) fn wake_by_lists(&self, queues: &Queues) {
        let queue = queues.lists.clone();
        let namespace = Arc::clone(&self.issuers.cluster_resource_namespace);
        let listed = self.listed_by(queues);
        self.lists.listen(vec![Box::new(move |old, new| {
            let Some(list) = new.or(old) else { return };
            // What is not on it, and waits for room, is not woken by each list.
            let entries = new.and_then(|new| new.list.as_ref());
            let entries = entries.map(|list| &list.entries);
            for issuer in issuers_at(&list.meta().key, &namespace) {
                listed(&issuer, entries);
                queue.add(issuer);
            }
        })]);
    }

    /// Wakes the records of certificates that wait for the list of an issuer: those that are among the
    /// entries of one, or all.
    pub(super) fn listed_by(
        &self,
        queues: &Queues,
    ) -> impl Fn(&ObjectKey, Option<&Entries>) + Send + Sync + use<> {
        let (records, queue) = (Arc::clone(&self.issuances), queues.issuances.clone());
        move |issuer, entries| {
            let waiting = records.find(&IssuanceIndex::List(issuer.clone()));
            let waiting = waiting
                .iter()
                .filter(|record| record.state() == IssuanceState::Revoking)
                .filter(|record| entries.is_none_or(|entries| is_among(entries, record)));
            waiting.for_each(|record| queue.add(record.meta().key.clone()));
        }
    }
}

fn is_among(entries: &Entries, record: &IssuanceFacts) -> bool {
    let serial = SerialNumber::from_hex(&record.serial);
    serial.is_some_and(|serial| entries.contains_key(&serial))
}
