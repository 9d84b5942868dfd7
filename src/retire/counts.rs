//! How many records are in each state? Counted as they change, so that nobody looks through them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::facts::IssuanceFacts;
use crate::api::issuance::IssuanceState;

/// The number of records in each state.
#[derive(Debug, Default)]
pub struct Counts {
    states: [AtomicUsize; IssuanceState::ALL.len()],
}

impl Counts {
    /// A record came, changed or went.
    pub fn note(&self, old: Option<&Arc<IssuanceFacts>>, new: Option<&Arc<IssuanceFacts>>) {
        // First what comes, so that none is below nothing for a moment.
        if let Some(new) = new {
            self.place(new.state()).fetch_add(1, Ordering::Relaxed);
        }
        if let Some(old) = old {
            self.place(old.state()).fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many are in `state`.
    pub fn of(&self, state: IssuanceState) -> usize {
        self.place(state).load(Ordering::Relaxed)
    }

    fn place(&self, state: IssuanceState) -> &AtomicUsize {
        let [
            active,
            superseded,
            orphaned,
            held,
            revoking,
            revoked,
            unrevocable,
            deleted,
            expired,
        ] = &self.states;
        match state {
            IssuanceState::Active => active,
            IssuanceState::Superseded => superseded,
            IssuanceState::Orphaned => orphaned,
            IssuanceState::Held => held,
            IssuanceState::Revoking => revoking,
            IssuanceState::Revoked => revoked,
            IssuanceState::Unrevocable => unrevocable,
            IssuanceState::Deleted => deleted,
            IssuanceState::Expired => expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retire::samples::issuance;

    #[test]
    fn each_record_counts_once_in_the_state_that_it_is_in() {
        let counts = Counts::default();
        let record = |state| {
            let mut record = issuance();
            record.status.state = state;
            Arc::new(record)
        };
        let [plain, orphaned, revoked] = [
            None,
            Some(IssuanceState::Orphaned),
            Some(IssuanceState::Revoked),
        ]
        .map(record);
        counts.note(None, Some(&plain));
        counts.note(None, Some(&orphaned));
        counts.note(Some(&orphaned), Some(&revoked));
        counts.note(Some(&revoked), Some(&revoked));
        let all = || IssuanceState::ALL.map(|state| counts.of(state));
        assert_eq!(all(), [1, 0, 0, 0, 0, 1, 0, 0, 0]);
        counts.note(Some(&plain), None);
        counts.note(Some(&revoked), None);
        assert_eq!(all(), [0; 9]);
    }
}
