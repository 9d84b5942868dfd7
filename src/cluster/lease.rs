//! Who may write: given the lease as last seen, what does this candidate do next?
//!
//! Two clocks never meet here. A lease counts as expired when *this* process has not seen it change
//! for as long as its holder asked for, on its own monotonic clock; what another node wrote into
//! `renewTime` is only compared for being different.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::LeaseSpec;

/// The times that leader election is run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

/// Times that leader election would not be safe with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The lease could be taken before its holder stops.
    #[error("lease duration {lease:?} must be longer than renew deadline {deadline:?}")]
    DeadlineAfterLease {
        /// The lease duration.
        lease: Duration,
        /// The renew deadline.
        deadline: Duration,
    },
    /// The leader would stop before its second try to renew.
    #[error("renew deadline {deadline:?} must be longer than 1.2 times retry period {retry:?}")]
    RetryAfterDeadline {
        /// The renew deadline.
        deadline: Duration,
        /// The retry period.
        retry: Duration,
    },
    /// Less than a second, or nothing, or more than a Lease can say.
    #[error("lease duration {0:?} must be between 1 s and 24 h")]
    OutOfRange(Duration),
    /// The lease would be written without pause.
    #[error("retry period must be 100 ms or longer")]
    NoPause,
}

impl Timing {
    /// A lease of `lease_duration`, renewed every `retry_period`, given up after `renew_deadline`
    /// without success.
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, TimingError> {
        if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&lease_duration) {
            return Err(TimingError::OutOfRange(lease_duration));
        }
        if renew_deadline >= lease_duration {
            return Err(TimingError::DeadlineAfterLease {
                lease: lease_duration,
                deadline: renew_deadline,
            });
        }
        if retry_period < Duration::from_millis(100) {
            return Err(TimingError::NoPause);
        }
        if renew_deadline <= retry_period * 6 / 5 {
            return Err(TimingError::RetryAfterDeadline {
                deadline: renew_deadline,
                retry: retry_period,
            });
        }
        Ok(Self {
            lease_duration,
            renew_deadline,
            retry_period,
        })
    }

    /// How long the others wait after this holder's last sign of life.
    pub fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// How long after its last success a leader stops.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// The pause between two looks, and between two renewals.
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// The pause after a request that failed: shorter, so that a leader gets several tries before
    /// its deadline.
    fn pause(&self) -> Duration {
        self.retry_period / 5
    }
}

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
        Some(self.renewed? + self.timing.renew_deadline)
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
            && now >= renewed + self.timing.renew_deadline
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
        let due = renewed + self.timing.retry_period;
        if now >= due || holder.is_empty() {
            return Step::Renew;
        }
        self.wait(due, now)
    }

    fn next_as_candidate(&self, read: Instant, now: Instant) -> Step {
        let again = read + self.timing.retry_period;
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
        let expires = *changed + record.duration().unwrap_or(self.timing.lease_duration);
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
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    const ME: &str = "me";

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// cert-manager's defaults.
    fn timing() -> Timing {
        Timing::new(seconds(60), seconds(40), seconds(15)).unwrap()
    }

    fn record(holder: &str, renewed: i64) -> Record {
        Record::new(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(60),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        })
    }

    /// What has happened to a candidate, at which second.
    enum Event {
        Read(u64, Option<Record>),
        Wrote(u64),
        Conflict,
        Failed(u64),
    }

    fn next(events: Vec<Event>, at: u64) -> Step {
        let start = Instant::now();
        let mut candidate = Candidate::new(ME.to_owned(), timing());
        for event in events {
            match event {
                Event::Read(at, record) => candidate.observe(record, start + seconds(at)),
                Event::Wrote(at) => {
                    let renewed = i64::try_from(at).unwrap();
                    candidate.wrote(record(ME, renewed), start + seconds(at));
                }
                Event::Conflict => candidate.conflict(),
                Event::Failed(at) => candidate.failed(start + seconds(at)),
            }
        }
        candidate.next(start + seconds(at))
    }

    #[test]
    fn a_candidate() {
        use Event::{Conflict, Failed, Read};
        let other = |renewed| Some(record("other", renewed));
        for (case, events, at, want) in [
            ("looks first", vec![], 0, Step::Read),
            (
                "creates what is not there",
                vec![Read(0, None)],
                0,
                Step::Create,
            ),
            (
                "takes what nobody holds",
                vec![Read(0, Some(record("", 0)))],
                0,
                Step::Take,
            ),
            (
                "takes what it holds unknowingly",
                vec![Read(0, Some(record(ME, 0)))],
                0,
                Step::Take,
            ),
            (
                "waits for the other",
                vec![Read(0, other(0))],
                5,
                Step::Wait(seconds(10)),
            ),
            ("looks again", vec![Read(0, other(0))], 15, Step::Read),
            (
                "starts counting anew when the other renews",
                vec![Read(0, other(0)), Read(59, other(59))],
                61,
                Step::Wait(seconds(13)),
            ),
            (
                "takes what has not changed for its duration",
                vec![Read(0, other(0)), Read(59, other(0))],
                60,
                Step::Take,
            ),
            (
                "waits no longer than until it expires",
                vec![Read(0, other(0)), Read(50, other(0))],
                52,
                Step::Wait(seconds(8)),
            ),
            (
                "does not trust the other's clock",
                vec![Read(0, other(-9_999))],
                1,
                Step::Wait(seconds(14)),
            ),
            (
                "looks again after a conflict",
                vec![Read(0, None), Conflict],
                0,
                Step::Read,
            ),
            (
                "pauses after a failure",
                vec![Failed(0)],
                1,
                Step::Wait(seconds(2)),
            ),
            (
                "tries again after the pause",
                vec![Failed(0)],
                3,
                Step::Read,
            ),
        ] {
            assert_eq!(next(events, at), want, "{case}");
        }
    }

    #[test]
    fn a_leader() {
        use Event::{Conflict, Failed, Read, Wrote};
        let other = Some(record("other", 9));
        for (case, events, at, want) in [
            ("rests", vec![Wrote(0)], 0, Step::Wait(seconds(15))),
            ("renews", vec![Wrote(0)], 15, Step::Renew),
            (
                "looks after a conflict",
                vec![Wrote(0), Conflict],
                15,
                Step::Read,
            ),
            (
                "gives way",
                vec![Wrote(0), Read(16, other)],
                16,
                Step::Lost(Loss::Taken("other".into())),
            ),
            (
                "goes on when it was not taken",
                vec![Wrote(0), Read(16, Some(record(ME, 0)))],
                16,
                Step::Renew,
            ),
            (
                "takes back what was emptied",
                vec![Wrote(0), Read(3, Some(record("", 0)))],
                3,
                Step::Renew,
            ),
            (
                "makes a deleted lease anew",
                vec![Wrote(0), Read(16, None)],
                16,
                Step::Create,
            ),
            (
                "pauses after a failure",
                vec![Wrote(0), Failed(15)],
                15,
                Step::Wait(seconds(3)),
            ),
            ("looks, then", vec![Wrote(0), Failed(15)], 18, Step::Read),
            (
                "waits no longer than it may lead",
                vec![Wrote(0), Failed(38)],
                38,
                Step::Wait(seconds(2)),
            ),
            (
                "stops at its deadline",
                vec![Wrote(0), Failed(39)],
                40,
                Step::Lost(Loss::Deadline(seconds(40))),
            ),
            (
                "stops late when it slept",
                vec![Wrote(0)],
                99,
                Step::Lost(Loss::Deadline(seconds(99))),
            ),
            (
                "leads on after a renewal",
                vec![Wrote(0), Wrote(15)],
                41,
                Step::Renew,
            ),
        ] {
            assert_eq!(next(events, at), want, "{case}");
        }
    }

    #[test]
    fn the_leader_stops_before_the_lease_can_be_taken() {
        let start = Instant::now();
        let mut leader = Candidate::new(ME.to_owned(), timing());
        leader.wrote(record(ME, 0), start);
        // The other sees the write at the earliest when it was begun.
        let mut other = Candidate::new("other".to_owned(), timing());
        other.observe(Some(record(ME, 0)), start);
        for second in 0..120 {
            let now = start + seconds(second);
            let leads = !matches!(leader.next(now), Step::Lost(_));
            other.observe(Some(record(ME, 0)), now);
            let takes = other.next(now) == Step::Take;
            assert!(!(leads && takes), "both at {second} s");
        }
    }

    #[test]
    fn unsafe_times_are_refused() {
        let of = |lease, deadline, retry| {
            Timing::new(seconds(lease), seconds(deadline), seconds(retry)).err()
        };
        assert_eq!(of(60, 40, 15), None);
        assert!(matches!(of(0, 40, 15), Some(TimingError::OutOfRange(_))));
        assert!(matches!(
            of(60, 60, 15),
            Some(TimingError::DeadlineAfterLease { .. })
        ));
        assert!(matches!(
            of(60, 18, 15),
            Some(TimingError::RetryAfterDeadline { .. })
        ));
        assert_eq!(of(60, 40, 0), Some(TimingError::NoPause));
    }
}
