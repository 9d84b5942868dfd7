//! After another program led: has every record been looked at since?

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::cluster::ObjectKey;

/// The records that nobody has looked at yet.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    left: Mutex<Option<HashSet<ObjectKey>>>,
}

impl Inventory {
    /// It is about all of these, unless one is under way.
    pub(super) fn begin(&self, all: impl FnOnce() -> Vec<ObjectKey>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get_or_insert_with(|| all().into_iter().collect());
    }

    /// `key` was looked at. Whether that was the last.
    pub(super) fn looked_at(&self, key: &ObjectKey) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = left.as_mut() else {
            return false;
        };
        keys.remove(key);
        let is_over = keys.is_empty();
        if is_over {
            *left = None;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_last() {
        let key = |name: &str| ObjectKey::new("certwright", name);
        let inventory = Inventory::default();
        assert!(!inventory.looked_at(&key("a")), "none is under way");
        for _ in 0..2 {
            inventory.begin(|| vec![key("a"), key("b")]);
            // One that was made since does not count, nor who is looked at twice.
            for early in ["c", "a", "a"] {
                assert!(!inventory.looked_at(&key(early)), "{early}");
                inventory.begin(Vec::new);
            }
            assert!(inventory.looked_at(&key("b")));
            assert!(!inventory.looked_at(&key("b")), "it is over");
        }
    }
}
