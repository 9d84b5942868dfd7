//! How soon to ask again for something that takes its time: quickly at first, then slower.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::cluster::key::ObjectKey;

/// Growing delays per object, from `first` by half again each time up to `most`.
///
/// Kept in memory only: after a restart an object is asked for quickly again.
#[derive(Debug)]
pub struct Pace {
    first: Duration,
    most: Duration,
    delays: Mutex<HashMap<ObjectKey, Duration>>,
}

impl Pace {
    /// Delays from `first` to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            delays: Mutex::default(),
        }
    }

    /// How long to wait this time.
    pub fn wait(&self, key: &ObjectKey) -> Duration {
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = delays.entry(key.clone()).or_insert(self.first);
        let now = *delay;
        *delay = (now + now / 2).min(self.most);
        now
    }

    /// Start quickly again: there was progress, or the object is gone.
    pub fn reset(&self, key: &ObjectKey) {
        self.delays
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_most_and_start_again() {
        let pace = Pace::new(Duration::from_millis(100), Duration::from_millis(300));
        let key = ObjectKey::new("ns", "a");
        let waits: Vec<u128> = (0..5).map(|_| pace.wait(&key).as_millis()).collect();
        assert_eq!(waits, [100, 150, 225, 300, 300]);
        pace.reset(&key);
        assert_eq!(pace.wait(&key).as_millis(), 100);
    }
}
