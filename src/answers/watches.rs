//! Which Certificates wait, and what DNS has said meanwhile? In memory alone.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::{
    answers::{
        history::Observation,
        plan::{Look, Pace, Wait, Watch},
        question::Question,
    },
    cluster::{ObjectKey, Queue},
};

/// No more Certificates are watched at a time; others have their ordinary wait.
const MOST_WATCHED: usize = 2_000;

/// The waits of Certificates. Nothing of it is stored: after a restart DNS is looked at as if for the
/// first time.
pub struct Watches {
    pace: Pace,
    queue: Queue,
    watches: Mutex<HashMap<ObjectKey, Watch>>,
}

impl Watches {
    /// None yet. Who is to be looked at goes into `queue`.
    pub fn new(queue: Queue, pace: Pace) -> Self {
        Self {
            pace,
            queue,
            watches: Mutex::default(),
        }
    }

    /// `certificate` waits: look at DNS until that ends.
    pub fn begin(&self, certificate: &ObjectKey, wait: Wait) {
        let mut watches = self.watches();
        let has_room = watches.len() < MOST_WATCHED;
        match watches.get_mut(certificate) {
            Some(watch) if watch.is_of(&wait) => {
                watch.ends(wait.ends);
                return;
            }
            None if !has_room => return,
            Some(_) | None => {}
        }
        let watch = Watch::begin(watches.get(certificate), wait);
        watches.insert(certificate.clone(), watch);
        drop(watches);
        self.queue.add(certificate.clone());
    }

    /// The name that DNS says something else of since `certificate`, of this uid, failed at `failed`.
    pub fn changed(&self, certificate: &ObjectKey, uid: &str, failed: Timestamp) -> Option<String> {
        let watches = self.watches();
        let watch = watches.get(certificate)?;
        watch.changed(uid, failed).map(str::to_owned)
    }

    /// `certificate` is gone, or nothing of it failed.
    pub fn forget(&self, certificate: &ObjectKey) {
        self.watches().remove(certificate);
    }

    /// What `certificate` waits for, and when to look.
    pub(super) fn look(&self, certificate: &ObjectKey, now: Timestamp) -> Option<(Wait, Look)> {
        let watches = self.watches();
        let watch = watches.get(certificate)?;
        Some((watch.wait().clone(), watch.look(now)))
    }

    /// DNS said this in `wait`. Answers the name that it says something else of, and else when to
    /// look again.
    pub(super) fn saw(
        &self,
        certificate: &ObjectKey,
        wait: &Wait,
        seen: Vec<(Question, Observation)>,
        now: Timestamp,
    ) -> Result<String, Look> {
        let mut watches = self.watches();
        let Some(watch) = watches.get_mut(certificate) else {
            return Err(Look::Never);
        };
        if !watch.is_of(wait) {
            // Another has begun: it was said of the one before.
            return Err(watch.look(now));
        }
        if seen.is_empty() {
            // DNS had no part in the failure: room for others.
            watches.remove(certificate);
            return Err(Look::Never);
        }
        watch.saw(seen, self.pace, now);
        match watch.changed(&wait.certificate, wait.failed) {
            Some(name) => Ok(name.to_owned()),
            None => Err(watch.look(now)),
        }
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<ObjectKey, Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::SignedDuration;

    use super::*;
    use crate::answers::{
        history::{Aspect, Seen},
        question::Way,
    };

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn wait(failed: Timestamp) -> Wait {
        Wait {
            certificate: "c".into(),
            request: "r".into(),
            failed,
            ends: failed + SignedDuration::from_hours(1),
        }
    }

    fn seen(address: &str) -> Vec<(Question, Observation)> {
        let question = Question {
            name: "www".into(),
            way: Way::Http01,
        };
        let answer = Seen::Answer(BTreeSet::from([address.to_owned()]));
        vec![(question, BTreeMap::from([(Aspect::Ipv4, answer)]))]
    }

    #[test]
    fn a_wait_is_looked_at_once_it_begins_and_not_for_the_one_before() {
        let queue = Queue::default();
        let pace = Pace::within(SignedDuration::from_mins(15));
        let watches = Watches::new(queue.clone(), pace);
        let www = ObjectKey::new("web", "www");
        assert_eq!(watches.look(&www, now()), None);
        watches.begin(&www, wait(now()));
        assert_eq!(queue.len(), 1);
        assert_eq!(watches.look(&www, now()), Some((wait(now()), Look::Now)));
        let next = now() + SignedDuration::from_mins(1);
        let first = watches.saw(&www, &wait(now()), seen("1"), now());
        assert_eq!(first, Err(Look::At(next)));
        watches.begin(&www, wait(now()));
        assert_eq!(watches.look(&www, next), Some((wait(now()), Look::Now)));

        // A look that took longer than its wait is no news of the next.
        watches.begin(&www, wait(next));
        let late = watches.saw(&www, &wait(now()), seen("2"), next);
        assert_eq!(late, Err(Look::Now));
        assert_eq!(watches.changed(&www, "c", now()), None);
        assert!(watches.saw(&www, &wait(next), seen("2"), next).is_err());
        let third = watches.saw(&www, &wait(next), seen("3"), next);
        assert_eq!(third, Ok("www".into()));
        assert_eq!(watches.changed(&www, "c", next), Some("www".into()));
        assert_eq!(watches.changed(&www, "c", now()), None);
        watches.forget(&www);
        assert_eq!(watches.changed(&www, "c", next), None);
        let gone = watches.saw(&www, &wait(next), seen("4"), next);
        assert_eq!(gone, Err(Look::Never));
    }

    #[test]
    fn only_so_many_are_watched() {
        let queue = Queue::default();
        let pace = Pace::within(SignedDuration::from_mins(15));
        let watches = Watches::new(queue, pace);
        let key = |n: usize| ObjectKey::new("web", n.to_string());
        for n in 0..=MOST_WATCHED {
            watches.begin(&key(n), wait(now()));
        }
        assert_eq!(watches.look(&key(MOST_WATCHED), now()), None);
        // Who is watched stays so.
        let next = now() + SignedDuration::from_hours(1);
        watches.begin(&key(0), wait(next));
        assert_eq!(watches.look(&key(0), next), Some((wait(next), Look::Now)));
        // One that DNS had no part in makes room.
        let nothing = watches.saw(&key(1), &wait(now()), Vec::new(), now());
        assert_eq!(nothing, Err(Look::Never));
        watches.begin(&key(MOST_WATCHED), wait(now()));
        assert!(watches.look(&key(MOST_WATCHED), now()).is_some());
    }
}
