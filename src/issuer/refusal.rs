//! What went wrong at the CA, for those who work on an order there.

use std::time::Duration;

use jiff::Timestamp;

use crate::{acme, cluster::Class};

/// How long to wait where the CA says "later" and not when.
const UNTOLD_WAIT: Duration = Duration::from_secs(60);

/// A request to the CA that failed.
#[derive(Debug, thiserror::Error)]
#[error("{source}{}", next_try(.retry))]
pub struct CaError {
    source: Box<acme::Error>,
    /// When the CA wants to be asked again, and how long that was when it said so.
    retry: Option<(Timestamp, Duration)>,
}

impl CaError {
    /// `source`, told at `now`.
    pub fn new(source: acme::Error, now: Timestamp) -> Self {
        let retry = match source.class() {
            acme::Class::RateLimited(Some(retry)) => {
                let at = retry.until(now);
                let wait = Duration::try_from(at.duration_since(now)).unwrap_or(UNTOLD_WAIT);
                Some((at, wait))
            }
            _ => None,
        };
        Self {
            source: Box::new(source),
            retry,
        }
    }

    /// Whether the CA refused for good: the same request will be refused again.
    pub fn is_refusal(&self) -> bool {
        let account_may_come_back = self.is_lost_account();
        match self.source.class() {
            acme::Class::Transient | acme::Class::RateLimited(_) => false,
            acme::Class::Misconfigured | acme::Class::Permanent => {
                !account_may_come_back && matches!(self.source.status(), Some(400..=499))
            }
        }
    }

    /// Whether the CA does not have the account that asked.
    pub fn is_lost_account(&self) -> bool {
        self.problem()
            .is_some_and(|problem| problem.kind == acme::ProblemType::AccountDoesNotExist)
    }

    /// The HTTP status of the refusal, if it is one.
    pub fn status(&self) -> Option<u16> {
        self.source.status()
    }

    /// What the CA complains about, if it said so.
    pub fn problem(&self) -> Option<&acme::Problem> {
        self.source.problem()
    }

    /// When the CA wants to be asked again, if it said so.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.retry.map(|(at, _)| at)
    }

    /// How to go on, where it is not for good.
    pub fn class(&self) -> Class {
        match self.source.class() {
            acme::Class::Transient => Class::Transient,
            acme::Class::RateLimited(_) => {
                Class::RateLimited(self.retry.map_or(UNTOLD_WAIT, |(_, wait)| wait))
            }
            acme::Class::Misconfigured | acme::Class::Permanent => Class::Misconfigured,
        }
    }
}

fn next_try(retry: &Option<(Timestamp, Duration)>) -> String {
    match retry {
        Some((at, _)) => format!("; next try at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
        None => String::new(),
    }
}
