//! Which challenges may be presented now: a bounded number, shared fairly.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::cluster::ObjectKey;

/// Whose share a challenge counts against: its namespace and its issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Namespace of the challenge.
    pub namespace: String,
    /// The issuer as `KIND/NAME`.
    pub issuer: String,
}

/// A bounded number of slots, given to the groups in turn.
///
/// A challenge holds a slot from before it is presented until the CA has decided, or until its check
/// has failed once or takes long: one that waits for the world outside gives its slot back, so that
/// broken names hold nobody up.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    held: HashSet<ObjectKey>,
    waiting: HashMap<Group, VecDeque<ObjectKey>>,
    queued: HashSet<ObjectKey>,
    /// The groups that wait, the next to be served first.
    turns: VecDeque<Group>,
}

impl Slots {
    /// `most` slots, at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            held: HashSet::new(),
            waiting: HashMap::new(),
            queued: HashSet::new(),
            turns: VecDeque::new(),
        }
    }

    /// Whether `key` holds a slot now. If none is free it is queued, and later named by
    /// [`Slots::release`].
    pub fn acquire(&mut self, key: &ObjectKey, group: Group) -> bool {
        if self.held.contains(key) {
            return true;
        }
        if self.held.len() < self.most && self.turns.is_empty() {
            self.held.insert(key.clone());
            return true;
        }
        if self.queued.insert(key.clone()) {
            let line = self.waiting.entry(group.clone()).or_default();
            if line.is_empty() {
                self.turns.push_back(group);
            }
            line.push_back(key.clone());
        }
        false
    }

    /// `key` needs no slot any more, whether it held one or waited. Answers who holds one now
    /// instead.
    pub fn release(&mut self, key: &ObjectKey) -> Vec<ObjectKey> {
        self.held.remove(key);
        // A queued key is skipped when its turn comes: cheaper than searching its line.
        self.queued.remove(key);
        let mut granted = Vec::new();
        while self.held.len() < self.most {
            let Some(next) = self.take_turn() else { break };
            self.held.insert(next.clone());
            granted.push(next);
        }
        granted
    }

    /// How many slots are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn take_turn(&mut self) -> Option<ObjectKey> {
        loop {
            let group = self.turns.pop_front()?;
            let Some(line) = self.waiting.get_mut(&group) else {
                continue;
            };
            let next = line.pop_front();
            if line.is_empty() {
                self.waiting.remove(&group);
            } else {
                self.turns.push_back(group);
            }
            if let Some(next) = next
                && self.queued.remove(&next)
            {
                return Some(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    fn group(namespace: &str) -> Group {
        Group {
            namespace: namespace.into(),
            issuer: "Issuer/a".into(),
        }
    }

    #[test]
    fn no_more_than_the_limit_hold_one() {
        let mut slots = Slots::new(2);
        assert!(slots.acquire(&key("a"), group("x")));
        assert!(slots.acquire(&key("b"), group("x")));
        assert!(!slots.acquire(&key("c"), group("x")));
        assert!(slots.acquire(&key("a"), group("x")), "held ones stay held");
        assert_eq!(slots.release(&key("a")), [key("c")]);
        assert!(slots.acquire(&key("c"), group("x")));
        assert_eq!(slots.held(), 2);
    }

    #[test]
    fn groups_take_turns() {
        let mut slots = Slots::new(1);
        assert!(slots.acquire(&key("a"), group("big")));
        for name in ["b1", "b2", "b3"] {
            assert!(!slots.acquire(&key(name), group("big")));
        }
        assert!(!slots.acquire(&key("s1"), group("small")));
        let mut order = Vec::new();
        let mut last = key("a");
        while let Some(next) = slots.release(&last).pop() {
            order.push(next.name.to_string());
            last = next;
        }
        assert_eq!(order, ["b1", "s1", "b2", "b3"]);
    }

    #[test]
    fn one_that_gives_up_waiting_is_passed_over() {
        let mut slots = Slots::new(1);
        assert!(slots.acquire(&key("a"), group("x")));
        assert!(!slots.acquire(&key("b"), group("x")));
        assert!(!slots.acquire(&key("c"), group("x")));
        assert!(slots.release(&key("b")).is_empty());
        assert_eq!(slots.release(&key("a")), [key("c")]);
        assert!(slots.release(&key("c")).is_empty());
        assert!(
            slots.acquire(&key("d"), group("x")),
            "the line is empty again"
        );
    }
}
