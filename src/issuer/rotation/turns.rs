//! Whose turn is it when the CA of an issuer changed? First all get its root, then one after the other
//! is re-issued, most urgent first. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::Turn;
use crate::{cluster::ObjectKey, pki::signed_by::Fingerprint};

/// One turn each this long, so that neither the cluster nor what uses the certificates is flooded.
const INTERVAL: SignedDuration = SignedDuration::from_secs(6);
/// However little time is left, not faster than this.
const SHORTEST: SignedDuration = SignedDuration::from_millis(100);
/// All should be done this long before a CA expires.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// So many get roots at a time: nothing is signed for it, and what is re-issued waits for it.
const BATCH: usize = 10;
/// And that often.
const BREATH: SignedDuration = SignedDuration::from_secs(1);
/// Not more at once, where they are slow.
const AT_WORK: usize = 50;
/// One that does not have its roots this long after its turn is not waited for.
const PATIENCE: SignedDuration = SignedDuration::from_mins(3);
/// Nor one that somebody took them away from so often.
const MOST_TRIES: u8 = 3;

/// What is to be done for a Certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// It is re-issued: it is of a CA that signs no more.
    Reissue {
        /// That CA.
        ca: Fingerprint,
        /// When the certificate expires: the soonest is the most urgent.
        expires: Timestamp,
        /// When its CA expires.
        ca_expires: Timestamp,
        /// Whether its `ca.crt` lacks a root that others are of, or will be: it gets that first.
        lacks: bool,
    },
    /// It is of the present CA, and its `ca.crt` lacks the root of one that others are of.
    Extend,
    /// Its `ca.crt` is put back to the one root.
    Restore,
}

impl Work {
    /// Whether its `ca.crt` lacks roots.
    pub fn lacks_roots(self) -> bool {
        match self {
            Self::Reissue { lacks, .. } => lacks,
            Self::Extend => true,
            Self::None | Self::Restore => false,
        }
    }
}

/// The Certificates of an issuer that wait for their turn, and those that had it.
#[derive(Debug, Default)]
pub struct Turns {
    /// Whose `ca.crt` lacks roots.
    extend: BTreeSet<ObjectKey>,
    /// Who had the turn to get them, and since when.
    extending: BTreeSet<(Timestamp, ObjectKey)>,
    /// Who does not have them long after it, or lost them again and again.
    overdue: BTreeSet<ObjectKey>,
    /// How often each had that turn.
    tries: HashMap<ObjectKey, u8>,
    reissue: BTreeSet<(Timestamp, ObjectKey)>,
    restore: BTreeSet<ObjectKey>,
    /// Who had the turn for one of these two.
    granted: BTreeSet<ObjectKey>,
    /// What each waits for, or had its turn for.
    known: BTreeMap<ObjectKey, Entry>,
    /// How many are of each former CA, and when that expires.
    former: HashMap<Fingerprint, (usize, Timestamp)>,
    next: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    work: Work,
    /// When it had its turn to get roots.
    extends_since: Option<Timestamp>,
    /// Whether it had its turn for what comes after that.
    is_granted: bool,
}

impl Entry {
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
        if let Some(entry) = self.known.get(certificate) {
            if entry.work == work {
                return entry.turn();
            }
            self.forget(certificate);
        }
        match work {
            Work::None => return Turn::None,
            Work::Reissue {
                ca,
                expires,
                ca_expires,
                lacks: _,
            } => {
                self.reissue.insert((expires, certificate.clone()));
                self.former.entry(ca).or_insert((0, ca_expires)).0 += 1;
            }
            Work::Restore => {
                self.restore.insert(certificate.clone());
            }
            Work::Extend => {}
        }
        let entry = Entry {
            work,
            extends_since: None,
            is_granted: false,
        };
        self.known.insert(certificate.clone(), entry);
        if work.lacks_roots() {
            self.extend.insert(certificate.clone());
            let soon = now.checked_add(BREATH).ok();
            self.next = [self.next, soon].into_iter().flatten().min();
        } else if self.next.is_none() {
            // Not at once: others that are more urgent may be noted in the same moment.
            self.next = self.after(now);
        }
        Turn::None
    }

    /// Nothing is to be done for `certificate` any more.
    pub fn forget(&mut self, certificate: &ObjectKey) {
        let Some(entry) = self.known.remove(certificate) else {
            return;
        };
        self.extend.remove(certificate);
        self.overdue.remove(certificate);
        self.granted.remove(certificate);
        if let Some(since) = entry.extends_since {
            self.extending.remove(&(since, certificate.clone()));
        }
        match entry.work {
            Work::Reissue { ca, expires, .. } => {
                self.reissue.remove(&(expires, certificate.clone()));
                if let Some((count, _)) = self.former.get_mut(&ca) {
                    *count = count.saturating_sub(1);
                }
                self.former.retain(|_, (count, _)| *count > 0);
            }
            Work::Restore => {
                self.restore.remove(certificate);
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
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        for key in self.unfinished() {
            let work = work(&key, self);
            self.note(&key, work, now);
        }
        self.give_up(now);
        let batch = self.batch(now, &work);
        if self.is_extending() {
            self.next = now.checked_add(BREATH).ok();
            return batch;
        }
        self.one(now, &work).into_iter().collect()
    }

    /// When to take the next one.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Those that are to be re-issued, whether or not they had their turn.
    pub fn to_reissue(&self) -> usize {
        self.former.values().map(|(count, _)| count).sum()
    }

    /// Those that get roots, before anything is re-issued.
    pub fn to_extend(&self) -> usize {
        self.extend.len() + self.extending.len()
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

    /// When the last that waits to be re-issued has its turn.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let many = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let roots = BREATH.checked_mul(many(self.extend.len() / BATCH))?;
        let rest = many(self.reissue.len().saturating_sub(1));
        let rest = self.interval(now).checked_mul(rest)?.checked_add(roots)?;
        self.next.unwrap_or(now).checked_add(rest).ok()
    }

    /// Whether roots are handed out still.
    fn is_extending(&self) -> bool {
        self.to_extend() > 0
    }

    /// Whether one is of a former CA that has not expired.
    fn is_reissuing(&self, now: Timestamp) -> bool {
        self.former.values().any(|(_, expires)| *expires > now)
    }

    /// Those that had their turn and are not done, as far as others wait for them now.
    fn unfinished(&self) -> Vec<ObjectKey> {
        if self.is_extending() {
            return self.extending.iter().map(|(_, key)| key.clone()).collect();
        }
        self.granted.union(&self.overdue).cloned().collect()
    }

    /// Those whose time is over do not hold the others up.
    fn give_up(&mut self, now: Timestamp) {
        while let Some((since, _)) = self.extending.first()
            && since.duration_until(now) >= PATIENCE
            && let Some((_, key)) = self.extending.pop_first()
        {
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
        while batch.len() < BATCH
            && self.extending.len() < AT_WORK
            && let Some(key) = self.extend.pop_first()
        {
            let is = work(&key, self);
            let Some(entry) = self.known.get_mut(&key).filter(|entry| entry.work == is) else {
                self.note(&key, is, now);
                continue;
            };
            let tries = self.tries.entry(key.clone()).or_default();
            if *tries == MOST_TRIES {
                self.overdue.insert(key);
                continue;
            }
            *tries += 1;
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
                if self.is_extending() {
                    return None;
                }
                continue;
            };
            entry.is_granted = true;
            self.granted.insert(key.clone());
            self.next = self.after(now);
            return Some(key);
        }
        // Those that had their turn are not done: the rest waits for them.
        self.next = match self.known.is_empty() {
            true => None,
            false => self.after(now),
        };
        None
    }

    fn first(&mut self, now: Timestamp) -> Option<ObjectKey> {
        if let Some((_, key)) = self.reissue.pop_first() {
            return Some(key);
        }
        // While one is of a former CA, its root is of use.
        match self.is_reissuing(now) {
            true => None,
            false => self.restore.pop_first(),
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
mod tests;
