//! Were so many certificates orphaned at once that somebody should look first? Counted as records
//! change; nothing looks at all of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{deletion::DeletionPolicy, issuance::IssuanceState},
    retire::facts::IssuanceFacts,
};

/// So many may be orphaned within the delay, however few there are in all.
const ALWAYS: usize = 10;
/// So many of a hundred may be orphaned within the delay.
const PER_CENT: usize = 10;

/// The certificates that no Certificate keeps.
#[derive(Debug, Default)]
pub struct Orphans {
    /// The only namespace whose certificates count, or all.
    only: Option<Arc<str>>,
    /// By the cluster that their records name.
    clusters: Mutex<HashMap<Arc<str>, Tally>>,
}

/// Sums, each the same in whatever order changes are told.
#[derive(Debug, Default)]
struct Tally {
    /// Those that something is still to be done about.
    waiting: Sum,
    /// Those that nothing is, by when they were orphaned.
    settled: BTreeMap<Timestamp, Sum>,
    /// The sum of these.
    lately: Sum,
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

/// A count of certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Certificates that are there, and those that are gone.
    pub all: usize,
    /// Those of them that were orphaned within the delay, or wait for a confirmation.
    pub orphaned: usize,
}

impl Orphans {
    /// Counts the certificates of the namespace `only`, or of all.
    pub fn of(only: Option<&str>) -> Self {
        Self {
            only: only.map(Into::into),
            clusters: Mutex::default(),
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
                place => clusters
                    .entry(Arc::clone(&one.cluster))
                    .or_default()
                    .add(place, sum(one, sign)),
            }
        }
    }

    /// How many of this `cluster` are orphaned `now`, where so many Certificates are there.
    pub fn count(
        &self,
        cluster: &str,
        certificates: usize,
        now: Timestamp,
        delay: SignedDuration,
    ) -> Count {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let orphans = clusters
            .get_mut(cluster)
            .map(|tally| tally.count(now, delay))
            .unwrap_or_default();
        let positive = |number| usize::try_from(number).unwrap_or(0);
        Count {
            all: certificates.saturating_add(positive(orphans.all)),
            orphaned: positive(orphans.unconfirmed),
        }
    }
}

impl Tally {
    fn add(&mut self, place: Place, sum: Sum) {
        match place {
            Place::Nowhere => {}
            Place::Waiting => self.waiting.add(sum),
            Place::Settled(since) => {
                self.lately.add(sum);
                let at = self.settled.entry(since).or_default();
                at.add(sum);
                if *at == Sum::default() {
                    self.settled.remove(&since);
                }
            }
        }
    }

    fn count(&mut self, now: Timestamp, delay: SignedDuration) -> Sum {
        while let Some(first) = self.settled.first_entry()
            && first.key().duration_until(now) > delay
        {
            let Sum { all, unconfirmed } = first.remove();
            self.lately.add(Sum {
                all: -all,
                unconfirmed: -unconfirmed,
            });
        }
        let mut sum = self.waiting;
        sum.add(self.lately);
        sum
    }
}

impl Sum {
    fn add(&mut self, other: Self) {
        let Self { all, unconfirmed } = other;
        self.all += all;
        self.unconfirmed += unconfirmed;
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

impl Count {
    /// Whether nothing more is revoked or deleted until somebody confirms it.
    pub fn brakes(self) -> bool {
        self.orphaned > ALWAYS && self.orphaned * 100 > self.all * PER_CENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retire::samples::{at, issuance, time};

    const NOW: &str = "2026-01-01T12:00:00Z";
    const LATELY: &str = "2026-01-01T11:30:00Z";
    const LONG_AGO: &str = "2026-01-01T09:00:00Z";
    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn record(state: IssuanceState, since: Option<&str>) -> IssuanceFacts {
        let mut one = issuance();
        one.status.state = Some(state);
        one.status.orphaned_since = since.map(time);
        one
    }

    fn counted(orphans: &Orphans, cluster: &str) -> (usize, usize) {
        let Count { all, orphaned } = orphans.count(cluster, 0, at(NOW), HOUR);
        (all, orphaned)
    }

    #[test]
    fn many_and_a_large_part_brake() {
        let table = [
            (10, 10, false),
            (11, 11, true),
            (11, 109, true),
            (11, 110, false),
            (500, 5000, false),
            (501, 5000, true),
            (0, 0, false),
        ];
        for (orphaned, all, want) in table {
            assert_eq!(
                Count { all, orphaned }.brakes(),
                want,
                "{orphaned} of {all}"
            );
        }
    }

    #[test]
    fn what_waits_counts_until_it_is_confirmed() {
        use IssuanceState::*;

        let (lately, long_ago) = (Some(LATELY), Some(LONG_AGO));
        // (state, orphaned since, confirmed, retained, whether it is counted, and as orphaned)
        let table = [
            // Its Certificate counts.
            (Active, None, false, false, (0, 0)),
            (Superseded, None, false, false, (0, 0)),
            (Orphaned, lately, false, false, (1, 1)),
            (Orphaned, long_ago, false, false, (1, 1)),
            (Held, long_ago, false, false, (1, 1)),
            (Held, long_ago, true, false, (1, 0)),
            (Orphaned, lately, false, true, (1, 0)),
            // On demand: no orphan.
            (Revoking, None, false, false, (0, 0)),
            (Revoking, long_ago, false, false, (1, 1)),
            // Without delay, with its namespace.
            (Revoked, lately, false, false, (1, 1)),
            (Revoked, long_ago, false, false, (0, 0)),
            (Deleted, lately, false, false, (1, 1)),
            (Deleted, long_ago, false, false, (0, 0)),
            (Expired, long_ago, false, false, (0, 0)),
        ];
        for (state, since, confirmed, retained, want) in table {
            let mut one = record(state, since);
            one.is_confirmed = confirmed;
            if retained {
                one.policy = DeletionPolicy::Retain;
            }
            let orphans = Orphans::default();
            orphans.change(None, Some(&one));
            let found = counted(&orphans, "here");
            assert_eq!(found, want, "{state} {since:?} {confirmed}");
            assert_eq!(counted(&orphans, "elsewhere"), (0, 0));
            orphans.change(Some(&one), None);
            assert_eq!(counted(&orphans, "here"), (0, 0));
        }
    }

    #[test]
    fn the_count_follows_whatever_is_told_in_whatever_order() {
        use IssuanceState::*;

        let lately = Some(LATELY);
        let life = [
            record(Active, None),
            record(Orphaned, lately),
            record(Held, lately),
            record(Revoking, lately),
            record(Revoked, lately),
        ];
        let told: Vec<(Option<&IssuanceFacts>, Option<&IssuanceFacts>)> = vec![
            (None, Some(&life[0])),
            (Some(&life[0]), Some(&life[1])),
            (Some(&life[1]), Some(&life[2])),
            (Some(&life[2]), Some(&life[3])),
            (Some(&life[3]), Some(&life[4])),
        ];
        for turn in 0..told.len() {
            let orphans = Orphans::default();
            let (early, late) = told.split_at(turn);
            for (old, new) in late.iter().chain(early.iter().rev()) {
                orphans.change(*old, *new);
            }
            assert_eq!(counted(&orphans, "here"), (1, 1), "{turn}");
            // What was passed over as too old is no debt when it goes.
            let later = at("2026-01-01T13:00:00Z");
            let all = |orphans: &Orphans| orphans.count("here", 0, later, HOUR).all;
            assert_eq!(all(&orphans), 0);
            orphans.change(Some(&life[4]), None);
            assert_eq!(all(&orphans), 0);
        }
    }

    #[test]
    fn others_namespaces_and_certificates_that_are_there_count_too() {
        let orphans = Orphans::of(Some("web"));
        let ours = record(IssuanceState::Held, Some(LONG_AGO));
        let mut theirs = ours.clone();
        theirs.secret = crate::cluster::ObjectKey::new("other", "www-tls");
        orphans.change(None, Some(&ours));
        orphans.change(None, Some(&theirs));
        let count = orphans.count("here", 20, at(NOW), HOUR);
        let want = Count {
            all: 21,
            orphaned: 1,
        };
        assert_eq!(count, want);
    }
}
