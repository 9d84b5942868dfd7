//! Were so many certificates orphaned at once that somebody should look first? Counted as records
//! change; nothing looks at all of them.
//!
//! One brake holds a namespace, for its own orphans, and one the cluster. For the others, a namespace counts
//! for no more Certificates than all others together, and for no more orphans than half the limit: so that
//! nobody alone can hold up everybody, or switch the brake off for them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{deletion::DeletionPolicy, issuance::IssuanceState},
    certificate::facts::CertificateFacts,
    retire::{facts::IssuanceFacts, spread::Spread},
};

/// So many may be orphaned within the window, however few there are in all.
const ALWAYS: i64 = 10;
/// So many of a hundred may be orphaned within the window.
const PER_CENT: i64 = 10;
/// The window is the delay, and at least this: with a short one, what goes one by one would never be many.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// The certificates that no Certificate keeps.
#[derive(Debug, Default)]
pub struct Orphans {
    /// The only namespace whose certificates count, or all.
    only: Option<Arc<str>>,
    /// The Certificates that are there, and whose certificate was issued here: others are never orphaned.
    issued: Mutex<Spread>,
    /// By the cluster that their records name.
    clusters: Mutex<HashMap<Arc<str>, Tally>>,
}

/// Sums, each the same in whatever order changes are told.
#[derive(Debug, Default)]
struct Tally {
    /// All that count.
    all: Spread,
    /// Those of them that nobody has confirmed, and that are not just kept.
    unconfirmed: Spread,
    /// Those that nothing is to be done about, by when they were orphaned, until they are too old.
    settled: BTreeMap<(Timestamp, Arc<str>), Sum>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    /// All.
    all: i64,
    /// Those that nobody has confirmed, and that are not just kept.
    unconfirmed: i64,
}

/// Where a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Waiting,
    Settled(Timestamp),
}

/// How many are orphaned, for one who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In the namespace.
    pub namespace: Share,
    /// In the cluster, where no namespace counts for more than it may.
    pub cluster: Share,
}

/// A number of certificates, and how many there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Certificates that were orphaned within the window, or wait for a confirmation.
    pub orphaned: i64,
    /// More than this brake.
    pub limit: i64,
}

impl Orphans {
    /// Counts the certificates of the namespace `only`, or of all.
    pub fn of(only: Option<&str>) -> Self {
        Self {
            only: only.map(Into::into),
            ..Self::default()
        }
    }

    /// A Certificate was `old` and is `new`.
    pub fn change_certificate(
        &self,
        old: Option<&CertificateFacts>,
        new: Option<&CertificateFacts>,
    ) {
        let is_counted = |one: &&CertificateFacts| one.is_issued_here;
        let (old, new) = (old.filter(is_counted), new.filter(is_counted));
        if old.is_some() == new.is_some() {
            return;
        }
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        for (one, sign) in [(old, -1), (new, 1)] {
            if let Some(one) = one {
                issued.add(&one.meta.key.namespace, sign);
            }
        }
    }

    /// A record was `old` and is `new`.
    pub fn change(&self, old: Option<&IssuanceFacts>, new: Option<&IssuanceFacts>) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = |one: &&IssuanceFacts| {
            let namespace = &one.secret.namespace;
            self.only.as_ref().is_none_or(|only| only == namespace)
        };
        for (one, sign) in [(old, -1), (new, 1)] {
            let Some(one) = one.filter(counted) else {
                continue;
            };
            match place(one) {
                Place::Nowhere => {}
                place => clusters.entry(Arc::clone(&one.cluster)).or_default().add(
                    place,
                    &one.secret.namespace,
                    sum(one, sign),
                ),
            }
        }
    }

    /// How many of this `cluster` are orphaned `now`, or were within the window, as it concerns `namespace`.
    pub fn count(
        &self,
        cluster: &str,
        namespace: &str,
        now: Timestamp,
        delay: SignedDuration,
    ) -> Count {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tally) = clusters.get_mut(cluster) else {
            return Count::default();
        };
        tally.forget(now, delay.max(WINDOW));
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = |namespace| limit(&issued, &tally.all, namespace);
        let of_all = limit(None);
        Count {
            namespace: Share {
                orphaned: tally.unconfirmed.of(namespace),
                limit: limit(Some(namespace)),
            },
            cluster: Share {
                orphaned: tally.unconfirmed.sum_of_at_most(of_all / 2),
                limit: of_all,
            },
        }
    }
}

/// How many may be orphaned. Of whoever asks all Certificates count, of any other namespace no more than of
/// the rest together.
fn limit(issued: &Spread, gone: &Spread, namespace: Option<&str>) -> i64 {
    let all = issued.sum() + gone.sum();
    // Not always of the same namespace: then the limit is lower, and never too high.
    let heaviest = issued.most_beside(namespace) + gone.most_beside(namespace);
    let counted = all.min(2 * (all - heaviest));
    ALWAYS.max(counted * PER_CENT / 100)
}

impl Tally {
    fn add(&mut self, place: Place, namespace: &Arc<str>, sum: Sum) {
        self.all.add(namespace, sum.all);
        self.unconfirmed.add(namespace, sum.unconfirmed);
        match place {
            Place::Nowhere | Place::Waiting => {}
            Place::Settled(since) => {
                let key = (since, Arc::clone(namespace));
                let at = self.settled.entry(key.clone()).or_default();
                at.all += sum.all;
                at.unconfirmed += sum.unconfirmed;
                if *at == Sum::default() {
                    self.settled.remove(&key);
                }
            }
        }
    }

    /// What is settled for longer than the window counts no more.
    fn forget(&mut self, now: Timestamp, window: SignedDuration) {
        while let Some(first) = self.settled.first_entry()
            && first.key().0.duration_until(now) > window
        {
            let ((_, namespace), Sum { all, unconfirmed }) = first.remove_entry();
            self.all.add(&namespace, -all);
            self.unconfirmed.add(&namespace, -unconfirmed);
        }
    }
}

fn place(issuance: &IssuanceFacts) -> Place {
    let Some(since) = &issuance.status.orphaned_since else {
        return Place::Nowhere;
    };
    match issuance.state() {
        IssuanceState::Orphaned | IssuanceState::Held | IssuanceState::Revoking => Place::Waiting,
        IssuanceState::Active
        | IssuanceState::Superseded
        | IssuanceState::Revoked
        | IssuanceState::Unrevocable
        | IssuanceState::Deleted
        | IssuanceState::Expired => Place::Settled(since.0),
    }
}

fn sum(issuance: &IssuanceFacts, sign: i64) -> Sum {
    // What is confirmed, or would not be touched, is no reason to hold others up.
    let counts = !issuance.is_confirmed
        && issuance.policy != DeletionPolicy::Retain
        && issuance.status.unattended_since.is_none();
    Sum {
        all: sign,
        unconfirmed: sign * i64::from(counts),
    }
}

impl Share {
    /// Whether nothing more is revoked or deleted until somebody confirms it.
    pub fn brakes(self) -> bool {
        self.orphaned > self.limit
    }
}

impl Count {
    /// Whether one of them does.
    pub fn brakes(self) -> bool {
        self.namespace.brakes() || self.cluster.brakes()
    }
}

#[cfg(test)]
mod tests;
