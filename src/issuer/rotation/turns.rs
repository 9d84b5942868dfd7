//! Whose turn is it when the CA of an issuer changed? First all get its root, then one after the other
//! is re-issued, most urgent first. Who comes in between waits behind them, and nobody for him. Pure.

mod tries;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::Turn;
use crate::{cluster::ObjectKey, pki::signed_by::Fingerprint};
use tries::Tries;
pub use work::Work;

/// One turn each this long, so that neither the cluster nor what uses the certificates is flooded.
const INTERVAL: SignedDuration = SignedDuration::from_secs(6);
/// However little time is left, not faster than this.
const SHORTEST: SignedDuration = SignedDuration::from_millis(100);
/// All should be done this long before a CA is trusted no longer.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// So many get roots at a time: nothing is signed for it, and what is re-issued waits for it.
const BATCH: usize = 10;
/// And that often.
const BREATH: SignedDuration = SignedDuration::from_secs(1);
/// Not more at once.
const AT_WORK: usize = 50;
/// Who has been at it for longer than this is stuck, and keeps no place from others.
const SLOW: SignedDuration = SignedDuration::from_secs(15);
/// One that does not have its roots this long after its turn is not waited for.
const PATIENCE: SignedDuration = SignedDuration::from_mins(3);
/// One that somebody took them away from so often of late does not get them again.
const MOST_TRIES: u8 = 3;

/// The Certificates of an issuer that wait for their turn, and those that had it.
#[derive(Debug, Default)]
pub struct Turns {
    /// Whose `ca.crt` lacks roots, by when that was noted.
    extend: BTreeSet<(Timestamp, ObjectKey)>,
    /// Those that re-issuing waits for: who lacked roots when the first had their turn. `None` before
    /// that.
    waited: Option<BTreeSet<ObjectKey>>,
    /// Who had the turn to get them, and since when.
    extending: BTreeSet<(Timestamp, ObjectKey)>,
    /// Who does not have them long after it, or lost them again and again.
    overdue: BTreeSet<ObjectKey>,
    /// How often each had that turn.
    tries: Tries,
    /// By when that was noted, then by expiry: who comes again and again does not get before others.
    reissue: BTreeSet<(Timestamp, Timestamp, ObjectKey)>,
    restore: BTreeSet<(Timestamp, ObjectKey)>,
    /// Who had the turn for one of these two.
    granted: BTreeSet<ObjectKey>,
    /// What each waits for, or had its turn for.
    known: BTreeMap<ObjectKey, Entry>,
    /// How many are of each former CA, and until when that is trusted.
    former: HashMap<Fingerprint, (usize, Timestamp)>,
    /// When the next get roots.
    roots_due: Option<Timestamp>,
    /// When the next is re-issued or put back.
    rest_due: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    work: Work,
    /// Since when it waits.
    since: Timestamp,
    /// Since when it waits for roots.
    lacks_since: Timestamp,
    /// When it had its turn to get roots.
    extends_since: Option<Timestamp>,
    /// Whether it had its turn for what comes after that.
    is_granted: bool,
}

impl Entry {
    /// Whether it lacks roots, and had no turn for them.
    fn waits_for_roots(&self) -> bool {
        self.work.lacks_roots() && self.extends_since.is_none()
    }

    fn turn(self) -> Turn {
        match self.work {
            Work::Reissue { .. } if self.is_granted => Turn::Reissue,
            Work::Restore if self.is_granted => Turn::Restore,
            work if work.lacks_roots() && self.extends_since.is_some() => Turn::Extend,
            Work::None | Work::Reissue { .. } | Work::Extend | Work::Restore => Turn::None,
        }
    }
}

impl Turns {
    /// `work` is to be done for `certificate`. What it may do now.
    pub fn note(&mut self, certificate: &ObjectKey, work: Work, now: Timestamp) -> Turn {
        let before = self.known.get(certificate).copied();
        if let Some(entry) = before.filter(|before| before.work == work) {
            return entry.turn();
        }
        let was_waited = self
            .waited
            .as_ref()
            .is_some_and(|w| w.contains(certificate));
        self.forget(certificate);
        // Who waits keeps the place, whatever changes meanwhile.
        let since = before.filter(|before| !before.is_granted);
        let lacks_since = before.filter(Entry::waits_for_roots);
        let entry = Entry {
            work,
            since: since.map_or(now, |before| before.since),
            lacks_since: lacks_since.map_or(now, |before| before.lacks_since),
            extends_since: None,
            is_granted: false,
        };
        match work {
            Work::None => return Turn::None,
            Work::Reissue {
                ca,
                expires,
                trusted_until,
                lacks: _,
            } => {
                let place = (entry.since, expires, certificate.clone());
                self.reissue.insert(place);
                self.former.entry(ca).or_insert((0, trusted_until)).0 += 1;
            }
            Work::Restore => {
                self.restore.insert((entry.since, certificate.clone()));
            }
            Work::Extend => {}
        }
        self.known.insert(certificate.clone(), entry);
        if work.lacks_roots() {
            self.extend.insert((entry.lacks_since, certificate.clone()));
            if let Some(waited) = &mut self.waited
                && was_waited
                && lacks_since.is_some()
            {
                waited.insert(certificate.clone());
            }
            let soon = now.checked_add(BREATH).ok();
            self.roots_due = [self.roots_due, soon].into_iter().flatten().min();
        }
        if self.rest_due.is_none() && work != Work::Extend {
            // Not at once: others that are more urgent may be noted in the same moment.
            self.rest_due = self.after(now);
        }
        Turn::None
    }

    /// Nothing is to be done for `certificate` any more.
    pub fn forget(&mut self, certificate: &ObjectKey) {
        let Some(entry) = self.known.remove(certificate) else {
            return;
        };
        self.extend
            .remove(&(entry.lacks_since, certificate.clone()));
        self.stop_waiting_for(certificate);
        self.overdue.remove(certificate);
        self.granted.remove(certificate);
        if let Some(since) = entry.extends_since {
            self.extending.remove(&(since, certificate.clone()));
        }
        match entry.work {
            Work::Reissue { ca, expires, .. } => {
                let place = (entry.since, expires, certificate.clone());
                self.reissue.remove(&place);
                if let Some((count, _)) = self.former.get_mut(&ca) {
                    *count = count.saturating_sub(1);
                }
                self.former.retain(|_, (count, _)| *count > 0);
            }
            Work::Restore => {
                self.restore.remove(&(entry.since, certificate.clone()));
            }
            Work::None | Work::Extend => {}
        }
    }

    /// Whose turn is next, if it is time: some that get roots, or one for the rest. `work` says what is
    /// to be done for it still.
    pub fn take(
        &mut self,
        now: Timestamp,
        work: impl Fn(&ObjectKey, &Self) -> Work,
    ) -> Vec<ObjectKey> {
        if self.next().is_none_or(|next| now < next) {
            return Vec::new();
        }
        if self.waited.is_none() {
            self.waited = Some(self.extend.iter().map(|(_, key)| key.clone()).collect());
        }
        for key in self.unfinished(now) {
            let work = work(&key, self);
            self.note(&key, work, now);
        }
        self.give_up(now);
        let mut taken = Vec::new();
        if is_due(self.roots_due, now) {
            taken = self.batch(now, &work);
            let left = self.extend.len() + self.extending.len();
            self.roots_due = (left > 0).then(|| now.checked_add(BREATH).ok()).flatten();
        }
        if self.to_extend() == 0 && is_due(self.rest_due, now) {
            taken.extend(self.one(now, &work));
        }
        taken
    }

    /// When to take the next one.
    pub fn next(&self) -> Option<Timestamp> {
        let rest_due = self.rest_due.filter(|_| self.to_extend() == 0);
        [self.roots_due, rest_due].into_iter().flatten().min()
    }

    /// Those that are to be re-issued, whether or not they had their turn.
    pub fn to_reissue(&self) -> usize {
        self.former.values().map(|(count, _)| count).sum()
    }

    /// Those that get roots before anything is re-issued.
    pub fn to_extend(&self) -> usize {
        match &self.waited {
            Some(waited) => waited.len(),
            None => self.extend.len(),
        }
    }

    /// Those that have not got them, and are not waited for.
    pub fn overdue(&self) -> usize {
        self.overdue.len()
    }

    /// Whether one besides `but` is of the former CA `ca`.
    pub fn is_needed(&self, ca: &Fingerprint, but: &ObjectKey) -> bool {
        let count = self.former.get(ca).map_or(0, |(count, _)| *count);
        let own = self.known.get(but).map(|entry| entry.work);
        let is_own = matches!(own, Some(Work::Reissue { ca: of, .. }) if of == *ca);
        count > usize::from(is_own)
    }

    /// Until when former CAs are trusted that some are of: the soonest that is to come.
    pub fn trusted_until(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.former.values().map(|(_, until)| *until);
        ends.filter(|until| *until > now).min()
    }

    /// When the last that waits to be re-issued has its turn.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let many = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let begins = match self.to_extend() {
            0 => self.rest_due.unwrap_or(now),
            waited => {
                let rounds = BREATH.checked_mul(many(waited / BATCH))?;
                self.roots_due.unwrap_or(now).checked_add(rounds).ok()?
            }
        };
        let rest = many(self.reissue.len().saturating_sub(1));
        begins
            .checked_add(self.interval(now).checked_mul(rest)?)
            .ok()
    }

    /// Whether one is of a former CA that is trusted still.
    fn is_reissuing(&self, now: Timestamp) -> bool {
        self.former.values().any(|(_, expires)| *expires > now)
    }

    /// Those that had their turn and are not done, as far as others wait for them now.
    fn unfinished(&self, now: Timestamp) -> Vec<ObjectKey> {
        let extending = self.extending.iter().map(|(_, key)| key.clone());
        let mut unfinished: Vec<ObjectKey> = extending.collect();
        if self.to_extend() == 0 && is_due(self.rest_due, now) {
            unfinished.extend(self.granted.union(&self.overdue).cloned());
        }
        unfinished
    }

    fn stop_waiting_for(&mut self, certificate: &ObjectKey) {
        if let Some(waited) = &mut self.waited {
            waited.remove(certificate);
        }
    }

    /// Those whose time is over do not hold the others up.
    fn give_up(&mut self, now: Timestamp) {
        while let Some((since, _)) = self.extending.first()
            && since.duration_until(now) >= PATIENCE
            && let Some((_, key)) = self.extending.pop_first()
        {
            self.stop_waiting_for(&key);
            self.overdue.insert(key);
        }
    }

    /// The next that get roots.
    fn batch(
        &mut self,
        now: Timestamp,
        work: impl Fn(&ObjectKey, &Self) -> Work,
    ) -> Vec<ObjectKey> {
        let mut batch = Vec::new();
        let at_work = self.extending.iter().rev();
        let at_work = at_work.take_while(|(since, _)| since.duration_until(now) < SLOW);
        let room = AT_WORK.saturating_sub(at_work.count()).min(BATCH);
        while batch.len() < room
            && let Some((_, key)) = self.extend.pop_first()
        {
            let is = work(&key, self);
            let Some(entry) = self.known.get_mut(&key).filter(|entry| entry.work == is) else {
                self.note(&key, is, now);
                continue;
            };
            if !self.tries.more(&key, MOST_TRIES, now) {
                self.stop_waiting_for(&key);
                self.overdue.insert(key);
                continue;
            }
            entry.extends_since = Some(now);
            self.extending.insert((now, key.clone()));
            batch.push(key);
        }
        batch
    }

    /// The next that is re-issued or put back.
    fn one(
        &mut self,
        now: Timestamp,
        work: impl Fn(&ObjectKey, &Self) -> Work,
    ) -> Option<ObjectKey> {
        while let Some(key) = self.first(now) {
            let is = work(&key, self);
            let Some(entry) = self.known.get_mut(&key).filter(|entry| entry.work == is) else {
                self.note(&key, is, now);
                continue;
            };
            entry.is_granted = true;
            self.granted.insert(key.clone());
            self.rest_due = self.after(now);
            return Some(key);
        }
        // Those that had their turn are not done: the rest waits for them.
        self.rest_due = match self.known.is_empty() {
            true => None,
            false => self.after(now),
        };
        None
    }

    fn first(&mut self, now: Timestamp) -> Option<ObjectKey> {
        let reissue = self.reissue.first().map(|(since, _, _)| *since);
        // While one is of a former CA that is trusted, its root is of use.
        let restore = self.restore.first().map(|(since, _)| *since);
        let restore = restore.filter(|_| !self.is_reissuing(now));
        if restore.is_some_and(|restore| reissue.is_none_or(|reissue| restore < reissue)) {
            return self.restore.pop_first().map(|(_, key)| key);
        }
        self.reissue.pop_first().map(|(_, _, key)| key)
    }

    fn after(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_add(self.interval(now)).ok()
    }

    /// How long it is from one turn to the next: shorter where a former CA is not trusted for long.
    fn interval(&self, now: Timestamp) -> SignedDuration {
        let Some((_, _, urgent)) = self.reissue.first() else {
            return INTERVAL;
        };
        let Some(Work::Reissue { trusted_until, .. }) = self.known.get(urgent).map(|e| e.work)
        else {
            return INTERVAL;
        };
        let left = now.duration_until(trusted_until).saturating_sub(MARGIN);
        let turns = i32::try_from(self.reissue.len().max(1)).unwrap_or(i32::MAX);
        (left / turns).clamp(SHORTEST, INTERVAL)
    }
}

fn is_due(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests;
