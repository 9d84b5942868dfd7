//! Who may write: given the lease as last seen, what does this candidate do next?
//!
//! Two clocks never meet here. A lease counts as expired when *this* process has not seen it change
//! for as long as its holder asked for, on its own monotonic clock; what another node wrote into
//! `renewTime` is only compared for being different.

mod timing;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::LeaseSpec;

pub use timing::{Timing, TimingError};

/// What this candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the lease.
    Read,
    /// Create the lease, held by this candidate.
    Create,
    /// Replace the lease as it was read, held by this candidate from now on.
    Take,
    /// Replace the lease as it was read, renewed.
    Renew,
    /// Nothing to do for that long.
    Wait(Duration),
    /// Stop leading at once.
    Lost(Loss),
}

/// Why leadership ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The lease could not be renewed in time.
    #[error("not renewed for {0:?}")]
    Deadline(Duration),
    /// Another candidate holds it.
    #[error("taken by {0:?}")]
    Taken(String),
}

/// The part of a lease that its holder changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    spec: LeaseSpec,
}

impl Record {
    /// The record in `spec`.
    pub fn new(spec: LeaseSpec) -> Self {
        Self { spec }
    }

    /// Who holds the lease; "" when nobody does.
    pub fn holder(&self) -> &str {
        self.spec.holder_identity.as_deref().unwrap_or_default()
    }

    /// For how long its holder asked; `None` where the record does not say.
    fn duration(&self) -> Option<Duration> {
        let seconds = u64::try_from(self.spec.lease_duration_seconds?).ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }
}

/// What one candidate knows of the lease and of its own tries.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    /// The record as last seen and when it was first seen like that; `None`: there is no lease.
    seen: Option<(Record, Instant)>,
    /// When the lease was last read or written; `None`: what is known may be out of date.
    read: Option<Instant>,
    failed: Option<Instant>,
    /// When the last successful write of this candidate as leader was begun.
    renewed: Option<Instant>,
}

impl Candidate {
    /// A candidate of that (unique) identity that has not looked yet.
    pub fn new(identity: String, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            seen: None,
            read: None,
            failed: None,
            renewed: None,
        }
    }

    /// The times it goes by.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Until when this candidate leads; `None` when it does not.
    pub fn leads_until(&self) -> Option<Instant> {
        Some(self.renewed? + self.timing.renew_deadline())
    }

    /// The record as last seen.
    pub fn record(&self) -> Option<&Record> {
        self.seen.as_ref().map(|(record, _)| record)
    }

    /// The lease was read: this is what it says, or it is not there.
    pub fn observe(&mut self, record: Option<Record>, now: Instant) {
        self.read = Some(now);
        self.failed = None;
        self.see(record, now);
    }

    /// A write that was begun at `began` has succeeded and left this.
    pub fn wrote(&mut self, record: Record, began: Instant) {
        self.read = Some(began);
        self.failed = None;
        self.renewed = Some(began);
        self.see(Some(record), began);
    }

    /// Somebody else wrote first.
    pub fn conflict(&mut self) {
        self.read = None;
    }

    /// The request failed, or nobody knows whether it did.
    pub fn failed(&mut self, now: Instant) {
        self.read = None;
        self.failed = Some(now);
    }

    /// What to do at `now`.
    pub fn next(&self, now: Instant) -> Step {
        if let Some(renewed) = self.renewed
            && now >= renewed + self.timing.renew_deadline()
        {
            return Step::Lost(Loss::Deadline(now - renewed));
        }
        if let Some(failed) = self.failed
            && now < failed + self.timing.pause()
        {
            return self.wait(failed + self.timing.pause(), now);
        }
        let Some(read) = self.read else {
            return Step::Read;
        };
        match self.renewed {
            Some(renewed) => self.next_as_leader(renewed, now),
            None => self.next_as_candidate(read, now),
        }
    }

    fn next_as_leader(&self, renewed: Instant, now: Instant) -> Step {
        let Some((record, _)) = &self.seen else {
            return Step::Create;
        };
        let holder = record.holder();
        if !holder.is_empty() && holder != self.identity {
            return Step::Lost(Loss::Taken(holder.to_owned()));
        }
        let due = renewed + self.timing.retry_period();
        if now >= due || holder.is_empty() {
            return Step::Renew;
        }
        self.wait(due, now)
    }

    fn next_as_candidate(&self, read: Instant, now: Instant) -> Step {
        let again = read + self.timing.retry_period();
        if now >= again {
            return Step::Read;
        }
        let Some((record, changed)) = &self.seen else {
            return Step::Create;
        };
        // Held by this identity without leading: a write that was thought to have failed.
        if record.holder().is_empty() || record.holder() == self.identity {
            return Step::Take;
        }
        let expires = *changed + record.duration().unwrap_or(self.timing.lease_duration());
        if now >= expires {
            return Step::Take;
        }
        self.wait(again.min(expires), now)
    }

    /// Wait until `until`, but never past the moment at which leading ends.
    fn wait(&self, until: Instant, now: Instant) -> Step {
        let until = self.leads_until().map_or(until, |end| until.min(end));
        Step::Wait(until.saturating_duration_since(now))
    }

    fn see(&mut self, record: Option<Record>, now: Instant) {
        if self.record() != record.as_ref() {
            self.seen = record.map(|record| (record, now));
        }
    }
}

#[cfg(test)]
mod tests;
