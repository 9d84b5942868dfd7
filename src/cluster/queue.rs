//! Which object is due for a reconcile, and when: a queue that knows each object once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::cluster::key::ObjectKey;

/// A de-duplicating delay queue of object keys; clones share it.
///
/// An object is queued at most once, at the earliest time asked for, and handed out to one worker
/// at a time: what is added while it is worked on waits for [`Queue::done`].
#[derive(Clone, Default)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Whether nobody works on anything yet, so that nothing is kept.
    is_closed: bool,
    /// Due times in order; the number makes equal times distinct and keeps first come first served.
    due: BTreeMap<(Instant, u64), ObjectKey>,
    entries: HashMap<ObjectKey, Entry>,
    next_number: u64,
}

#[derive(Default)]
struct Entry {
    queued: Option<(Instant, u64)>,
    running: bool,
    again: Option<Instant>,
}

impl Queue {
    /// From now on keep nothing: nobody works on it yet.
    pub fn close(&self) {
        self.state().is_closed = true;
    }

    /// From now on keep what is asked for. What was asked for before has to be asked for again.
    pub fn open(&self) {
        self.state().is_closed = false;
    }

    /// Ask for `key` now.
    pub fn add(&self, key: ObjectKey) {
        self.add_at(key, Instant::now());
    }

    /// Ask for `key` after `delay`; an earlier request stands.
    pub fn add_after(&self, key: ObjectKey, delay: Duration) {
        self.add_at(key, Instant::now() + delay);
    }

    /// The next key that is due; waits for it. Call [`Queue::done`] when finished with it.
    pub async fn next(&self) -> ObjectKey {
        loop {
            let changed = self.inner.changed.notified();
            let wait = match self.state().take_due(Instant::now()) {
                Ok(key) => return key,
                Err(wait) => wait,
            };
            match wait {
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// The work on `key` is over; what was asked meanwhile is queued.
    pub fn done(&self, key: &ObjectKey) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(key) else {
            return;
        };
        entry.running = false;
        match entry.again.take() {
            Some(at) => {
                state.schedule(key.clone(), at);
                drop(state);
                self.inner.changed.notify_one();
            }
            None => {
                state.entries.remove(key);
            }
        }
    }

    /// How many keys wait or are worked on.
    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Whether nothing waits and nothing is worked on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add_at(&self, key: ObjectKey, at: Instant) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        state.schedule(key, at);
        drop(state);
        self.inner.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between statements: a panic elsewhere does not spoil it.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn schedule(&mut self, key: ObjectKey, at: Instant) {
        let number = self.next_number;
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.running {
            entry.again = Some(entry.again.map_or(at, |earlier| earlier.min(at)));
            return;
        }
        if let Some(queued) = entry.queued {
            if queued.0 <= at {
                return;
            }
            self.due.remove(&queued);
        }
        entry.queued = Some((at, number));
        self.next_number += 1;
        self.due.insert((at, number), key);
    }

    /// The first key that is due, or when to look again.
    fn take_due(&mut self, now: Instant) -> Result<ObjectKey, Option<Instant>> {
        let Some(first) = self.due.first_entry() else {
            return Err(None);
        };
        if first.key().0 > now {
            return Err(Some(first.key().0));
        }
        let key = first.remove();
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.queued = None;
            entry.running = true;
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    #[tokio::test(start_paused = true)]
    async fn hands_out_each_key_once_in_order_of_due_time() {
        let queue = Queue::default();
        queue.add_after(key("late"), Duration::from_secs(5));
        queue.add(key("a"));
        queue.add(key("b"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(queue.next().await, key("b"));
        let before = Instant::now();
        assert_eq!(queue.next().await, key("late"));
        assert_eq!(before.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_nothing_until_somebody_works() {
        let queue = Queue::default();
        queue.close();
        for number in 0..1000 {
            queue.add(key(&number.to_string()));
            queue.add_after(key("later"), Duration::from_secs(1));
        }
        assert!(queue.is_empty());
        queue.open();
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.done(&key("a"));
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_request_stands() {
        let queue = Queue::default();
        queue.add_after(key("a"), Duration::from_secs(60));
        queue.add_after(key("a"), Duration::from_secs(1));
        queue.add_after(key("a"), Duration::from_secs(30));
        let before = Instant::now();
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(before.elapsed().as_secs(), 1);
        queue.done(&key("a"));
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_added_meanwhile_waits_for_done() {
        let queue = Queue::default();
        queue.add(key("a"));
        let a = queue.next().await;
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("b"));
        queue.done(&a);
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test]
    async fn a_new_key_wakes_a_waiting_worker() {
        let queue = Queue::default();
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.add(key("a"));
        assert_eq!(waiting.await.unwrap(), key("a"));
    }
}
