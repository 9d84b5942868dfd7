//! Were so many certificates orphaned at once that somebody should look first? Pure.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{deletion::DeletionPolicy, issuance::IssuanceState},
    retire::facts::IssuanceFacts,
};

/// So many may be orphaned within the delay, however few there are in all.
const ALWAYS: usize = 10;
/// So many of a hundred may be orphaned within the delay.
const PER_CENT: usize = 10;

/// A count of certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Those that are in use, or were until now.
    pub(super) all: usize,
    /// Those of them that were orphaned within the delay, or wait for a confirmation.
    pub(super) orphaned: usize,
}

impl Count {
    /// Count one more.
    pub(super) fn add(&mut self, issuance: &IssuanceFacts, now: Timestamp, delay: SignedDuration) {
        let since = issuance.status.orphaned_since.as_ref().map(|time| time.0);
        let lately = since.is_some_and(|since| since.duration_until(now) <= delay);
        let waits = match issuance.state() {
            IssuanceState::Orphaned | IssuanceState::Held | IssuanceState::Revoking => {
                since.is_some()
            }
            IssuanceState::Active
            | IssuanceState::Superseded
            | IssuanceState::Revoked
            | IssuanceState::Unrevocable
            | IssuanceState::Expired => false,
        };
        let is_kept = issuance.state() == IssuanceState::Active;
        if !(is_kept || waits || lately) {
            return;
        }
        self.all += 1;
        // What is confirmed, or would not be touched, is no reason to hold others up.
        let counts = !issuance.is_confirmed && issuance.policy != DeletionPolicy::Retain;
        self.orphaned += usize::from((waits || lately) && counts);
    }

    /// Whether nothing more is revoked until somebody confirms it.
    pub(super) fn brakes(self) -> bool {
        self.orphaned > ALWAYS && self.orphaned * 100 > self.all * PER_CENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retire::samples::{at, issuance};

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

        let hour = SignedDuration::from_hours(1);
        let now = at("2026-01-01T12:00:00Z");
        let lately = Some("2026-01-01T11:30:00Z");
        let long_ago = Some("2026-01-01T09:00:00Z");
        // (state, orphaned since, confirmed, retained, whether it is counted, and as orphaned)
        let table = [
            (Active, None, false, false, (1, 0)),
            (Superseded, None, false, false, (0, 0)),
            (Orphaned, lately, false, false, (1, 1)),
            (Held, long_ago, false, false, (1, 1)),
            (Held, long_ago, true, false, (1, 0)),
            (Orphaned, lately, false, true, (1, 0)),
            // On demand: no orphan.
            (Revoking, None, false, false, (0, 0)),
            (Revoking, long_ago, false, false, (1, 1)),
            // Revoked without delay, with its namespace.
            (Revoked, lately, false, false, (1, 1)),
            (Revoked, long_ago, false, false, (0, 0)),
            (Expired, long_ago, false, false, (0, 0)),
        ];
        for (state, since, confirmed, retained, (all, orphaned)) in table {
            let mut one = issuance();
            one.status.state = Some(state);
            one.status.orphaned_since = since.map(crate::retire::samples::time);
            one.is_confirmed = confirmed;
            if retained {
                one.policy = DeletionPolicy::Retain;
            }
            let mut count = Count::default();
            count.add(&one, now, hour);
            assert_eq!(
                count,
                Count { all, orphaned },
                "{state} {since:?} {confirmed}"
            );
        }
    }
}
