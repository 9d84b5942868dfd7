//! Which names may orders yet fail for that are under way?

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::issuer::limits::Limit;

/// No order stands in the way of others for longer: what is not validated by then waits for its
/// self-check, and may do so for days.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);

/// The orders of an account whose names are being validated, as far as is known.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// The names of each, and until when it counts, by the uid of the Order.
    orders: HashMap<String, (Timestamp, BTreeSet<String>)>,
    /// When each ends to count.
    ends: BTreeSet<(Timestamp, String)>,
    /// How many orders there are for a name.
    names: HashMap<String, u32>,
}

impl UnderWay {
    /// The Order `uid` for `names` begins. It counts for as long as a failure would.
    pub(super) fn begin(
        &mut self,
        limit: &Limit,
        uid: &str,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) {
        self.end(uid);
        let counts = limit.interval().min(LONGEST);
        let until = now.checked_add(counts).unwrap_or(now);
        for name in names {
            *self.names.entry(name.clone()).or_default() += 1;
        }
        self.ends.insert((until, uid.to_owned()));
        self.orders.insert(uid.to_owned(), (until, names.clone()));
    }

    /// The Order `uid` ended, in whatever way.
    pub(super) fn end(&mut self, uid: &str) {
        let Some((until, names)) = self.orders.remove(uid) else {
            return;
        };
        self.ends.remove(&(until, uid.to_owned()));
        for name in names {
            let left = match self.names.get(&name) {
                Some(count) => count.saturating_sub(1),
                None => 0,
            };
            match left {
                0 => self.names.remove(&name),
                left => self.names.insert(name, left),
            };
        }
    }

    /// Leave those out that are under way for too long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((until, uid)) = self.ends.first().cloned()
            && until <= now
        {
            self.end(&uid);
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// How many others than `uid` there are for `name`.
    pub(super) fn others(&self, uid: &str, name: &str) -> u32 {
        let all = self.names.get(name).copied().unwrap_or(0);
        let itself = self.orders.get(uid);
        let is_one = itself.is_some_and(|(_, names)| names.contains(name));
        all.saturating_sub(u32::from(is_one))
    }
}
