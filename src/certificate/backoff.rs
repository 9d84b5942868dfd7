//! When is an issuance that failed tried again?

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    certificate::{
        facts::{Settings, Situation},
        fit,
    },
    request::facts::RequestFacts,
};

/// The wait is at most this part of the lifetime that is left, so that there are several tries
/// before the certificate expires.
const PART_OF_LIFETIME: i32 = 4;
/// However little of it is left, the wait is not cut below this: a CA takes five failed validations
/// of a name in an hour.
const SHORTEST_CUT: SignedDuration = SignedDuration::from_mins(15);

/// When to try again, if that is later than now. `next` are the requests of the revision that
/// failed: a spec that has changed since is tried at once.
pub fn next_try(situation: &Situation, next: &[&Arc<RequestFacts>]) -> Option<Timestamp> {
    let spec = &situation.certificate.spec;
    let outdated = |request: &&Arc<RequestFacts>| match fit::violations(request, spec) {
        Ok(fields) => !fields.is_empty(),
        Err(_) => true,
    };
    if next.iter().any(outdated) {
        return None;
    }
    after_failure(situation).filter(|at| *at > situation.now)
}

/// Whether the wait after the last failure is not over, whatever has changed since.
pub fn is_in_force(situation: &Situation) -> bool {
    after_failure(situation).is_some_and(|at| at > situation.now)
}

/// When to try again after the last failure, if there was one.
fn after_failure(situation: &Situation) -> Option<Timestamp> {
    let status = &situation.certificate.status;
    let failed = status.last_failure_time.as_ref()?.0;
    let attempts = status.failed_issuance_attempts.unwrap_or(1);
    Some(at(situation, failed, attempts))
}

/// When to try again after the `attempts`-th failure in a row, which was at `failed`.
pub fn at(situation: &Situation, failed: Timestamp, attempts: i64) -> Timestamp {
    let expiry = situation
        .secret
        .as_ref()
        .and_then(|secret| Some(secret.leaf.read()?.not_after));
    before(&situation.settings, failed, attempts, expiry)
}

fn before(
    settings: &Settings,
    failed: Timestamp,
    attempts: i64,
    expiry: Option<Timestamp>,
) -> Timestamp {
    let delay = delay(settings, attempts);
    let left = expiry
        .map(|expiry| failed.duration_until(expiry))
        .filter(SignedDuration::is_positive);
    let delay = match left {
        Some(left) => delay.min((left / PART_OF_LIFETIME).max(SHORTEST_CUT)),
        None => delay,
    };
    failed.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// The wait after the `attempts`-th failure in a row: it doubles from the shortest to the longest.
fn delay(settings: &Settings, attempts: i64) -> SignedDuration {
    let doublings = u32::try_from(attempts.max(1) - 1)
        .unwrap_or(u32::MAX)
        .min(30);
    settings
        .backoff_min
        .checked_mul(1 << doublings)
        .unwrap_or(settings.backoff_max)
        .min(settings.backoff_max)
        .max(settings.backoff_min)
}

/// `failure`, and when the next try is.
pub fn message(failure: &str, at: Timestamp) -> String {
    const NEXT: &str = "; next try at ";
    let failure = failure.rsplit_once(NEXT).map_or(failure, |(text, _)| text);
    let failure = match failure {
        "" => "The last issuance failed",
        text => text,
    };
    format!("{failure}{NEXT}{at}")
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_knows_the_deadline() {
        let failed: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hours = |hours: i64| SignedDuration::from_hours(hours);
        let table = [
            (0, None, hours(1)),
            (-3, None, hours(1)),
            (1, None, hours(1)),
            (2, None, hours(2)),
            (5, None, hours(16)),
            (6, None, hours(32)),
            (7, None, hours(32)),
            (i64::MAX, None, hours(32)),
            (6, Some(hours(720)), hours(32)),
            (6, Some(hours(40)), hours(10)),
            (1, Some(hours(40)), hours(1)),
            (6, Some(hours(2)), SignedDuration::from_mins(30)),
            (
                6,
                Some(SignedDuration::from_mins(1)),
                SignedDuration::from_mins(15),
            ),
            // Expired already: nothing is saved by hurrying.
            (6, Some(hours(-1)), hours(32)),
        ];
        for (attempts, left, want) in table {
            let expiry = left.map(|left| failed + left);
            let at = before(&Settings::default(), failed, attempts, expiry);
            assert_eq!(failed.duration_until(at), want, "{attempts} {left:?}");
        }
    }

    #[test]
    fn the_message_names_the_next_try_once() {
        let at: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let once = message("It failed: no DNS", at);
        assert_eq!(once, "It failed: no DNS; next try at 2026-01-01T01:00:00Z");
        assert_eq!(message(&once, at), once);
        assert_eq!(
            message("", at),
            "The last issuance failed; next try at 2026-01-01T01:00:00Z"
        );
    }
}
