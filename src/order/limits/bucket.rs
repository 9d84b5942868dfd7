//! How does a bucket fill again?

use jiff::{SignedDuration, Timestamp};

use crate::issuer::limits::Limit;

impl Limit {
    /// How long one takes to come back.
    pub(super) fn interval(&self) -> SignedDuration {
        self.period / i32::try_from(self.count.max(1)).unwrap_or(i32::MAX)
    }

    /// When there is room for one more in a bucket that is full again at `filled`.
    pub(super) fn room(&self, filled: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let filled = filled.unwrap_or(now).max(now);
        filled
            .checked_add(self.interval() - self.period)
            .unwrap_or(now)
    }

    /// When the bucket is full again once one more is taken.
    pub(super) fn taken(&self, filled: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let filled = filled.unwrap_or(now).max(now);
        filled.checked_add(self.interval()).unwrap_or(filled)
    }

    /// The inverse of [`Limit::room`].
    pub(super) fn full_until(&self, until: Timestamp) -> Timestamp {
        let rest = self.period - self.interval();
        until.checked_add(rest).unwrap_or(until)
    }

    /// When it is full again once one is put back.
    pub(super) fn given_back(&self, filled: Timestamp) -> Timestamp {
        filled.checked_sub(self.interval()).unwrap_or(filled)
    }
}
