//! How is the room on the list of a CA shared that issues to many namespaces? Pure, but for the memory of who
//! waits for some.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    cluster::ObjectKey,
    pki::crl::{Entry, Reason, SerialNumber},
};

/// The most entries of a list that namespaces share: a ConfigMap holds them, however long their serials are.
pub const SHARED: usize = 8000;

/// A certificate that is to be on a list.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Its number.
    pub(super) serial: SerialNumber,
    /// What the list says of it.
    pub(super) entry: Entry,
    /// The namespace of its Certificate.
    pub(super) namespace: Arc<str>,
    /// Whether clients may have seen it on a list.
    pub(super) is_listed: bool,
}

/// What is on a list, and who waits for room.
#[derive(Debug, Default)]
pub struct Listed {
    /// What is on it.
    pub entries: BTreeMap<SerialNumber, Entry>,
    /// The namespaces of what is not.
    pub waiting: BTreeSet<Arc<str>>,
}

/// Share `room` entries among `candidates`. A namespace gets no more than it leaves to others, so that none
/// fills a list; known keys come first, then who came first. What is listed stays, for nobody may believe
/// it good again.
pub(super) fn share(candidates: impl Iterator<Item = Candidate>, room: usize) -> Listed {
    let (stays, mut comes): (Vec<_>, Vec<_>) = candidates.partition(|one| one.is_listed);
    comes.sort_by_key(|one| {
        let Entry { revoked, reason } = one.entry;
        (reason != Reason::KeyCompromise, revoked, one.serial.clone())
    });
    let mut listed = Listed::default();
    let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
    for one in stays.into_iter().chain(comes) {
        let count = counts.entry(Arc::clone(&one.namespace)).or_default();
        if one.is_listed || *count < room.saturating_sub(listed.entries.len()) {
            *count += 1;
            listed.entries.insert(one.serial, one.entry);
        } else {
            listed.waiting.insert(one.namespace);
        }
    }
    listed
}

/// The namespaces that wait for room, by the issuer of the list.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<ObjectKey, BTreeSet<Arc<str>>>>);

impl Waiting {
    /// These wait for room on the list of `issuer`.
    pub(super) fn note(&self, issuer: &ObjectKey, namespaces: BTreeSet<Arc<str>>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match namespaces.is_empty() {
            true => drop(waiting.remove(issuer)),
            false => drop(waiting.insert(issuer.clone(), namespaces)),
        }
    }

    /// Whether `namespace` waits for room on the list of `issuer`.
    pub fn holds(&self, issuer: &ObjectKey, namespace: &str) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let namespaces = waiting.get(issuer);
        namespaces.is_some_and(|namespaces| namespaces.contains(namespace))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// So many of a namespace, from the second `since` on.
    fn some(namespace: &str, count: u32, since: i64, is_listed: bool) -> Vec<Candidate> {
        let one = |number| Candidate {
            serial: SerialNumber::from_hex(&format!("{:x}", (since << 16) + i64::from(number + 1)))
                .unwrap(),
            entry: Entry {
                revoked: Timestamp::from_second(since + i64::from(number)).unwrap(),
                reason: Reason::Superseded,
            },
            namespace: namespace.into(),
            is_listed,
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn no_namespace_fills_a_list() {
        // What there is, by namespace: how many, since when, whether listed; and how many have room of 100.
        type Case<'a> = (&'a [(&'a str, u32, i64, bool)], &'a [(&'a str, usize)]);
        let cases: [Case<'_>; 8] = [
            (&[("a", 30, 0, false)], &[("a", 30)]),
            (&[("a", 50, 0, false)], &[("a", 50)]),
            (&[("a", 900, 0, false)], &[("a", 50)]),
            // Others find room after that, and those after them.
            (
                &[("a", 900, 0, false), ("b", 10, 2000, false)],
                &[("a", 50), ("b", 10)],
            ),
            (
                &[
                    ("a", 900, 0, false),
                    ("b", 900, 2000, false),
                    ("c", 900, 4000, false),
                ],
                &[("a", 50), ("b", 25), ("c", 13)],
            ),
            // What is listed stays, and the next ones wait.
            (
                &[
                    ("a", 90, 0, true),
                    ("a", 9, 2000, false),
                    ("b", 6, 4000, false),
                ],
                &[("a", 90), ("b", 5)],
            ),
            (
                &[("a", 120, 0, true), ("b", 1, 200, false)],
                &[("a", 120), ("b", 0)],
            ),
            (
                &[("b", 1, 0, false), ("a", 40, 0, true)],
                &[("b", 1), ("a", 40)],
            ),
        ];
        for (all, want) in cases {
            let candidates: Vec<Candidate> = all
                .iter()
                .flat_map(|(namespace, count, since, is)| some(namespace, *count, *since, *is))
                .collect();
            let listed = share(candidates.iter().cloned(), 100);
            for (namespace, want) in want {
                let of_it = || {
                    candidates
                        .iter()
                        .filter(|one| *one.namespace == **namespace)
                };
                let found = of_it().filter(|one| listed.entries.contains_key(&one.serial));
                assert_eq!(found.count(), *want, "{namespace} in {all:?}");
                let waits = listed.waiting.contains(*namespace);
                assert_eq!(waits, of_it().count() > *want, "{namespace} in {all:?}");
            }
        }
    }

    #[test]
    fn known_keys_come_first_and_then_who_came_first() {
        let mut all = some("a", 100, 0, false);
        all[99].entry.reason = Reason::KeyCompromise;
        all.reverse();
        let listed = share(all.iter().cloned(), 20);
        let found: Vec<i64> = all
            .iter()
            .filter(|one| listed.entries.contains_key(&one.serial))
            .map(|one| one.entry.revoked.as_second())
            .collect();
        assert_eq!(found, [99, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn who_waits_is_known_until_that_ends() {
        let waiting = Waiting::default();
        let [ca, other] = ["ca", "other"].map(ObjectKey::cluster);
        waiting.note(&ca, BTreeSet::from(["web".into()]));
        assert!(waiting.holds(&ca, "web"));
        assert!(!waiting.holds(&ca, "shop") && !waiting.holds(&other, "web"));
        waiting.note(&ca, BTreeSet::new());
        assert!(!waiting.holds(&ca, "web"));
    }
}
