//! Under which look-ups is an object found?

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
    mem,
};

use crate::cluster::key::ObjectKey;

/// Names of objects by look-up. Look-ups are kept as their hashes, which are a fraction of them: two
/// that share one find each other's objects too, so that who needs it exact looks at what is found.
#[derive(Default)]
pub(super) struct Index {
    hasher: RandomState,
    keys: HashMap<u64, Keys>,
}

/// Names under one look-up. Most find a single object: a set for each would cost most of the memory.
enum Keys {
    One(ObjectKey),
    Many(BTreeSet<ObjectKey>),
}

impl Index {
    /// `key` is found under `index`.
    pub(super) fn add(&mut self, index: &impl Hash, key: ObjectKey) {
        match self.keys.entry(self.hasher.hash_one(index)) {
            Entry::Vacant(free) => {
                free.insert(Keys::One(key));
            }
            Entry::Occupied(mut taken) => {
                let keys = taken.get_mut();
                *keys = match mem::replace(keys, Keys::Many(BTreeSet::new())) {
                    Keys::One(only) => Keys::Many(BTreeSet::from([only, key])),
                    Keys::Many(mut many) => {
                        many.insert(key);
                        Keys::Many(many)
                    }
                };
            }
        }
    }

    /// `key` is not found under `index` any more.
    pub(super) fn remove(&mut self, index: &impl Hash, key: &ObjectKey) {
        let Entry::Occupied(mut found) = self.keys.entry(self.hasher.hash_one(index)) else {
            return;
        };
        let is_empty = match found.get_mut() {
            Keys::One(only) => only == key,
            Keys::Many(many) => {
                many.remove(key);
                many.is_empty()
            }
        };
        if is_empty {
            found.remove();
        }
    }

    /// How many names there are under `index`.
    pub(super) fn count(&self, index: &impl Hash) -> usize {
        match self.keys.get(&self.hasher.hash_one(index)) {
            Some(Keys::One(_)) => 1,
            Some(Keys::Many(many)) => many.len(),
            None => 0,
        }
    }

    /// The names under `index`, in order.
    pub(super) fn find(&self, index: &impl Hash) -> impl Iterator<Item = &ObjectKey> {
        let keys = self.keys.get(&self.hasher.hash_one(index));
        let (one, many) = match keys {
            Some(Keys::One(only)) => (Some(only), None),
            Some(Keys::Many(many)) => (None, Some(many)),
            None => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(index: &Index, of: &str) -> Vec<String> {
        index.find(&of).map(|key| key.name.to_string()).collect()
    }

    #[test]
    fn names_come_in_order_and_go() {
        let key = |name: &str| ObjectKey::new("ns", name);
        let mut index = Index::default();
        for name in ["b", "a", "b", "c"] {
            index.add(&"x", key(name));
        }
        index.add(&"y", key("a"));
        index.add(&"y", key("a"));
        assert_eq!(names(&index, "x"), ["a", "b", "c"]);
        assert_eq!(names(&index, "y"), ["a"]);
        assert_eq!(["x", "y", "z"].map(|of| index.count(&of)), [3, 1, 0]);
        index.remove(&"x", &key("b"));
        index.remove(&"x", &key("other"));
        index.remove(&"y", &key("other"));
        assert_eq!(names(&index, "x"), ["a", "c"]);
        for name in ["a", "c"] {
            index.remove(&"x", &key(name));
        }
        index.remove(&"y", &key("a"));
        assert!(index.keys.is_empty());
    }
}
