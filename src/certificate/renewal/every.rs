//! When does a schedule of a fixed delay come round, `@every 1h30m`?

use jiff::{SignedDuration, Timestamp};

use super::SECOND;
use crate::api::duration;

/// A delay, in whole seconds.
///
/// No clock says from when on it counts, so that it counts from the moment that one begins to look.
/// That is how cert-manager has it, and what it comes to is this: a window is open once the delay has
/// passed since the earliest moment at which it could matter, and before that it opens a delay from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Every(SignedDuration);

impl Every {
    /// Reads a delay: parts of a second are cut off, and there is always one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let delay = duration::parse(text).map_err(|error| error.to_string())?;
        let delay = SignedDuration::from_secs(delay.as_secs());
        Ok(Self(delay.max(SECOND)))
    }

    /// The last time up to `until`, where somebody looks from `since` on.
    pub(super) fn last(self, since: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let first = self.next(since).filter(|first| *first <= until)?;
        let latest = until.checked_sub(SECOND).ok()?;
        Some(first.max(latest))
    }

    /// The first time for who looks from `from` on.
    pub(super) fn next(self, from: Timestamp) -> Option<Timestamp> {
        // The second that is looked at may be one of its times.
        let before = from.as_nanosecond().div_euclid(1_000_000_000) - 1;
        let before = Timestamp::from_second(i64::try_from(before).ok()?).ok()?;
        before.checked_add(self.0).ok()
    }
}
