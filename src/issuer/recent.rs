//! What was used lately, up to a number of entries.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// A bounded map: when it is full, what was not used for the longest time makes room.
pub(super) struct Recent<K, V> {
    most: usize,
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    uses: u64,
    entries: HashMap<K, (u64, V)>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(super) fn new(most: usize) -> Self {
        let state = State {
            uses: 0,
            entries: HashMap::new(),
        };
        Self {
            most,
            state: Mutex::new(state),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.uses += 1;
        let uses = state.uses;
        let (used, value) = state.entries.get_mut(key)?;
        *used = uses;
        Some(value.clone())
    }

    pub(super) fn put(&self, key: K, value: V) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.uses += 1;
        let uses = state.uses;
        if state.entries.len() >= self.most
            && !state.entries.contains_key(&key)
            && let Some(oldest) = state.oldest()
        {
            state.entries.remove(&oldest);
        }
        state.entries.insert(key, (uses, value));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries.len()
    }

    pub(super) fn remove(&self, key: &K) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries.remove(key);
    }
}

impl<K: Clone + Eq + Hash, V> State<K, V> {
    fn oldest(&self) -> Option<K> {
        let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used);
        oldest.map(|(key, _)| key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_makes_room() {
        let recent = Recent::new(2);
        recent.put("a", 1);
        recent.put("b", 2);
        assert_eq!(recent.get(&"a"), Some(1));
        recent.put("c", 3);
        assert_eq!(
            [recent.get(&"a"), recent.get(&"b"), recent.get(&"c")],
            [Some(1), None, Some(3)]
        );
        recent.put("c", 4);
        assert_eq!((recent.get(&"a"), recent.get(&"c")), (Some(1), Some(4)));
        recent.remove(&"a");
        assert_eq!(recent.get(&"a"), None);
    }
}
