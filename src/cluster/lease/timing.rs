//! By which times is leader election run, and by which would it not be safe?

use std::time::Duration;

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
    pub(super) fn pause(&self) -> Duration {
        self.retry_period / 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_times_are_refused() {
        let seconds = Duration::from_secs;
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
