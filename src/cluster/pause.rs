//! Until when is somebody not asked because they named a time?
//!
//! What is told of that on an object wakes whoever works on it: without a memory the other side would
//! be asked again at once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::cluster::{driver::Class, key::ObjectKey};

/// The times that were named, by the object that it was asked for. In memory only.
#[derive(Debug, Default)]
pub struct Pauses(Mutex<HashMap<ObjectKey, Timestamp>>);

impl Pauses {
    /// What was asked for `key` failed at `now`: remember the time, if that was named.
    pub fn note(&self, key: &ObjectKey, class: Class, now: Timestamp) {
        let wait = match class {
            Class::RateLimited(wait) => wait,
            Class::Conflict
            | Class::Transient
            | Class::Refused
            | Class::Misconfigured
            | Class::Permanent => return,
        };
        if let Ok(until) = now.checked_add(wait) {
            let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pauses.insert(key.clone(), until);
        }
    }

    /// How long nothing is to be asked for `key`, if so.
    pub fn left(&self, key: &ObjectKey, now: Timestamp) -> Option<Duration> {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = *pauses.get(key)?;
        let left = Duration::try_from(now.duration_until(until)).ok();
        let left = left.filter(|left| !left.is_zero());
        if left.is_none() {
            pauses.remove(key);
        }
        left
    }

    /// The object is gone, or needs nothing more.
    pub fn forget(&self, key: &ObjectKey) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_named_time_is_kept_until_it_has_come() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        let (a, b) = (ObjectKey::new("ns", "a"), ObjectKey::new("ns", "b"));
        let pauses = Pauses::default();
        for class in [Class::Transient, Class::Refused, Class::Permanent] {
            pauses.note(&a, class, now);
            assert_eq!(pauses.left(&a, now), None, "{class:?}");
        }
        pauses.note(&a, Class::RateLimited(Duration::from_secs(60)), now);
        assert_eq!(pauses.left(&a, after(20)), Some(Duration::from_secs(40)));
        assert_eq!(pauses.left(&b, after(20)), None);
        // Something else went wrong meanwhile.
        pauses.note(&a, Class::Conflict, after(30));
        assert_eq!(pauses.left(&a, after(59)), Some(Duration::from_secs(1)));
        assert_eq!(pauses.left(&a, after(60)), None);
        assert_eq!(pauses.left(&a, after(20)), None, "it has come");
        pauses.note(&b, Class::RateLimited(Duration::from_secs(60)), now);
        pauses.forget(&b);
        assert_eq!(pauses.left(&b, now), None);
    }
}
