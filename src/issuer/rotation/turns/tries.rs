//! How often had each a turn of late? Pure.

use std::{collections::HashMap, mem};

use jiff::{SignedDuration, Timestamp};

use crate::cluster::ObjectKey;

/// What is older than two of these is forgotten.
const PERIOD: SignedDuration = SignedDuration::from_hours(1);

/// The turns of this period and of the last one: names that come and go leave nothing behind.
#[derive(Debug, Default)]
pub(super) struct Tries {
    began: Option<Timestamp>,
    present: HashMap<ObjectKey, u8>,
    last: HashMap<ObjectKey, u8>,
}

impl Tries {
    /// Count one more for `key`, unless it had `most`: whether it is counted.
    pub(super) fn more(&mut self, key: &ObjectKey, most: u8, now: Timestamp) -> bool {
        self.forget(now);
        let last = self.last.get(key).copied().unwrap_or_default();
        let present = self.present.get(key).copied().unwrap_or_default();
        if last.saturating_add(present) >= most {
            return false;
        }
        self.present.insert(key.clone(), present.saturating_add(1));
        true
    }

    fn forget(&mut self, now: Timestamp) {
        let since = *self.began.get_or_insert(now);
        if since.duration_until(now) < PERIOD {
            return;
        }
        self.last = mem::take(&mut self.present);
        if since.duration_until(now) >= PERIOD * 2 {
            self.last.clear();
        }
        self.began = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_and_forgotten() {
        let mut tries = Tries::default();
        let key = |name: &str| ObjectKey::new("web", name);
        for (second, name, want) in [
            (0, "a", true),
            (1, "a", true),
            (2, "a", false),
            (2, "b", true),
            // The last period counts still, the one before it does not.
            (3600, "a", false),
            (3600, "b", true),
            (7200, "a", true),
            (7200, "b", true),
            (7201, "b", false),
            (99_999, "b", true),
        ] {
            let now = Timestamp::from_second(second).unwrap();
            assert_eq!(tries.more(&key(name), 2, now), want, "{name} at {second}");
        }
        let names = || (0..1000).map(|number| key(&number.to_string()));
        for hour in 100..110 {
            let now = Timestamp::from_second(hour * 3600).unwrap();
            names().for_each(|name| {
                tries.more(&name, 2, now);
            });
        }
        let now = Timestamp::from_second(200 * 3600).unwrap();
        assert!(tries.more(&key("a"), 2, now));
        assert_eq!(tries.present.len() + tries.last.len(), 1);
    }
}
