//! Whose turn is it when the CA of an issuer changed? One at a time, most urgent first. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::cluster::ObjectKey;

/// One turn each this long, so that neither the cluster nor what uses the certificates is flooded.
const INTERVAL: SignedDuration = SignedDuration::from_secs(6);
/// However little time is left, not faster than this.
const SHORTEST: SignedDuration = SignedDuration::from_millis(100);
/// All should be done this long before a CA expires.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);

/// What is to be done for a Certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// It is re-issued: it is of a CA that signs no more, and expires then.
    Reissue {
        /// When the certificate expires: the soonest is the most urgent.
        expires: Timestamp,
        /// When its CA expires.
        ca_expires: Timestamp,
    },
    /// Its `ca.crt` is put back to the one root.
    Restore,
}

/// The Certificates of an issuer that wait for their turn, and those that had it.
#[derive(Debug, Default)]
pub struct Turns {
    reissue: BTreeSet<(Timestamp, ObjectKey)>,
    restore: BTreeSet<ObjectKey>,
    /// What each waits for, or had its turn for.
    known: BTreeMap<ObjectKey, Entry>,
    next: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    work: Work,
    is_granted: bool,
}

impl Turns {
    /// `work` is to be done for `certificate`. Whether it has its turn.
    pub fn note(&mut self, certificate: &ObjectKey, work: Work, now: Timestamp) -> bool {
        if let Some(entry) = self.known.get(certificate) {
            if entry.work == work {
                return entry.is_granted;
            }
            self.forget(certificate);
        }
        match work {
            Work::None => return false,
            Work::Reissue { expires, .. } => {
                self.reissue.insert((expires, certificate.clone()));
            }
            Work::Restore => {
                self.restore.insert(certificate.clone());
            }
        }
        let entry = Entry {
            work,
            is_granted: false,
        };
        self.known.insert(certificate.clone(), entry);
        if self.next.is_none() {
            // Not at once: others that are more urgent may be noted in the same moment.
            self.next = self.after(now);
        }
        false
    }

    /// Nothing is to be done for `certificate` any more.
    pub fn forget(&mut self, certificate: &ObjectKey) {
        match self.known.remove(certificate).map(|entry| entry.work) {
            Some(Work::Reissue { expires, .. }) => {
                self.reissue.remove(&(expires, certificate.clone()));
            }
            Some(Work::Restore) => {
                self.restore.remove(certificate);
            }
            Some(Work::None) | None => {}
        }
    }

    /// Whose turn is next, if it is time. `is_so` says whether that work is still to be done for it.
    pub fn take(
        &mut self,
        now: Timestamp,
        mut is_so: impl FnMut(&ObjectKey, Work) -> bool,
    ) -> Option<ObjectKey> {
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        loop {
            let Some(key) = self.first(now) else {
                // Those that had their turn are not done: the rest waits for them.
                self.next = match self.known.is_empty() {
                    true => None,
                    false => self.after(now),
                };
                return None;
            };
            let work = self.known.get(&key).map_or(Work::None, |entry| entry.work);
            if !is_so(&key, work) {
                self.forget(&key);
                continue;
            }
            self.next = self.after(now);
            if let Work::Reissue { expires, .. } = work {
                self.reissue.remove(&(expires, key.clone()));
            } else {
                self.restore.remove(&key);
            }
            if let Some(entry) = self.known.get_mut(&key) {
                entry.is_granted = true;
            }
            return Some(key);
        }
    }

    /// When to take the next one.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Those that are to be re-issued, whether or not they had their turn.
    pub fn to_reissue(&self) -> usize {
        let is_reissue = |entry: &&Entry| matches!(entry.work, Work::Reissue { .. });
        self.known.values().filter(is_reissue).count()
    }

    /// Whether one besides `but` is still of a former CA, and that has not expired.
    pub fn is_reissuing(&self, but: Option<&ObjectKey>, now: Timestamp) -> bool {
        self.known.iter().any(|(key, entry)| match entry.work {
            Work::Reissue { ca_expires, .. } => ca_expires > now && Some(key) != but,
            Work::None | Work::Restore => false,
        })
    }

    /// Those that had their turn and are not done.
    pub fn granted(&self) -> Vec<ObjectKey> {
        let granted = self.known.iter().filter(|(_, entry)| entry.is_granted);
        granted.map(|(key, _)| key.clone()).collect()
    }

    /// When the last that waits to be re-issued has its turn.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = i32::try_from(self.reissue.len()).unwrap_or(i32::MAX);
        let step = self.interval(now);
        let rest = step.checked_mul(waiting.saturating_sub(1).max(0))?;
        self.next.unwrap_or(now).checked_add(rest).ok()
    }

    fn first(&self, now: Timestamp) -> Option<ObjectKey> {
        if let Some((_, key)) = self.reissue.first() {
            return Some(key.clone());
        }
        // While one is of a former CA, its root is of use.
        match self.is_reissuing(None, now) {
            true => None,
            false => self.restore.first().cloned(),
        }
    }

    fn after(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_add(self.interval(now)).ok()
    }

    /// How long it is from one turn to the next: shorter where a former CA expires soon.
    fn interval(&self, now: Timestamp) -> SignedDuration {
        let Some((_, urgent)) = self.reissue.first() else {
            return INTERVAL;
        };
        let Some(Work::Reissue { ca_expires, .. }) = self.known.get(urgent).map(|e| e.work) else {
            return INTERVAL;
        };
        let left = now.duration_until(ca_expires).saturating_sub(MARGIN);
        let turns = i32::try_from(self.reissue.len().max(1)).unwrap_or(i32::MAX);
        (left / turns).clamp(SHORTEST, INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("web", name)
    }

    fn reissue(expires: i64, ca_expires: i64) -> Work {
        Work::Reissue {
            expires: at(expires),
            ca_expires: at(ca_expires),
        }
    }

    /// Who has a turn when, until nobody waits or `until`. Each is done with at once.
    fn played(turns: &mut Turns, mut now: i64, until: i64) -> Vec<(i64, String)> {
        let mut played = Vec::new();
        while now < until && turns.next().is_some() {
            if let Some(key) = turns.take(at(now), |_, _| true) {
                played.push((now, key.name.to_string()));
                turns.forget(&key);
            }
            now += 1;
        }
        played
    }

    #[test]
    fn one_at_a_time_and_the_most_urgent_first() {
        let mut turns = Turns::default();
        for (name, days) in [("late", 90), ("soon", 5), ("middle", 30), ("same", 30)] {
            assert!(!turns.note(&key(name), reissue(days * DAY, 365 * DAY), at(0)));
        }
        assert!(!turns.note(&key("bundle"), Work::Restore, at(0)));
        assert!(!turns.note(&key("fine"), Work::None, at(0)));
        assert_eq!(turns.to_reissue(), 4);
        assert_eq!(turns.last(at(0)), Some(at(24)));
        let played = played(&mut turns, 0, 100);
        let played: Vec<(i64, &str)> = played.iter().map(|(at, name)| (*at, &**name)).collect();
        let want = [
            (6, "soon"),
            (12, "middle"),
            (18, "same"),
            (24, "late"),
            (30, "bundle"),
        ];
        assert_eq!(played, want);
        assert_eq!(turns.next(), None);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut turns = Turns::default();
        for name in ["a", "b", "c"] {
            turns.note(&key(name), reissue(DAY, 365 * DAY), at(0));
        }
        let played: Vec<i64> = played(&mut turns, 3600, 4000)
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(played, [3600, 3606, 3612]);
    }

    #[test]
    fn all_is_done_before_a_ca_expires() {
        let mut turns = Turns::default();
        for number in 0..1000 {
            turns.note(&key(&number.to_string()), reissue(DAY, 2 * 3600), at(0));
        }
        let played = played(&mut turns, 0, 3 * 3600);
        let (last, _) = played.last().unwrap();
        assert_eq!(played.len(), 1000);
        assert!(*last <= 3600, "{last}");
        // One that has expired already does not make it faster than it may be.
        turns.note(&key("a"), reissue(DAY, 0), at(7200));
        let next = at(7200).checked_add(SHORTEST).unwrap();
        assert_eq!(turns.next(), Some(next));
    }

    #[test]
    fn a_turn_lasts_until_it_is_done_and_holds_back_the_restoring() {
        let mut turns = Turns::default();
        let work = reissue(DAY, 365 * DAY);
        turns.note(&key("a"), work, at(0));
        turns.note(&key("b"), Work::Restore, at(0));
        assert_eq!(turns.take(at(5), |_, _| true), None);
        assert_eq!(turns.take(at(6), |_, _| true), Some(key("a")));
        assert!(turns.note(&key("a"), work, at(7)));
        assert_eq!(turns.granted(), [key("a")]);
        let (all, others) = (None, Some(&key("a")));
        assert!(turns.is_reissuing(all, at(8)) && !turns.is_reissuing(others, at(8)));
        assert!(!turns.is_reissuing(all, at(365 * DAY)));
        // It fails, and is tried again: its old root is still needed.
        assert_eq!(turns.take(at(60), |_, _| true), None);
        // It is done, and has a bundle of its own.
        assert!(!turns.note(&key("a"), Work::Restore, at(61)));
        assert_eq!(turns.take(at(66), |_, _| true), Some(key("a")));
        assert!(turns.note(&key("a"), Work::Restore, at(67)));
        assert_eq!(turns.take(at(72), |_, _| true), Some(key("b")));
    }

    #[test]
    fn what_is_not_so_any_more_takes_no_turn() {
        let mut turns = Turns::default();
        for (name, days) in [("gone", 1), ("there", 2)] {
            turns.note(&key(name), reissue(days * DAY, 365 * DAY), at(0));
        }
        let is_there = |one: &ObjectKey, _| *one == key("there");
        assert_eq!(turns.take(at(6), is_there), Some(key("there")));
        assert_eq!(turns.to_reissue(), 1);
        turns.note(&key("there"), Work::None, at(7));
        assert_eq!(
            (turns.to_reissue(), turns.take(at(12), is_there)),
            (0, None)
        );
        assert_eq!(turns.next(), None);
    }
}
