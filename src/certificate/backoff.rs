//! When is an issuance that failed tried again?

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    answers::plan::Wait,
    certificate::{
        basis::Anew,
        facts::{Settings, Situation},
        failure::Failure,
        fit,
    },
    request::facts::RequestFacts,
};

/// The wait is at most this part of the lifetime that is left, so that there are many tries before
/// the certificate expires: a dozen in the last third of one of 160 hours, with time to spare.
const PART_OF_LIFETIME: i32 = 6;
/// However little of it is left, and whatever has changed by itself, the wait is not cut below this:
/// CAs take five failed validations of a name an hour, one every twelve minutes.
const SHORTEST_CUT: SignedDuration = SignedDuration::from_mins(15);
/// Nor is it cut below this part of the first wait, where that is shorter still.
const PART_OF_FIRST_WAIT: i32 = 4;
/// Times of failures are to the second: what begins in the same one cannot be told from what failed.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// When to try again, if that is later than now. `next` are the requests of the revision that
/// failed: a spec that has changed since is tried at once, and so is an Issuer.
pub fn next_try(situation: &Situation, next: &[&Arc<RequestFacts>]) -> Option<Timestamp> {
    let certificate = &situation.certificate;
    let outdated = |request: &&Arc<RequestFacts>| match fit::violations(request, &certificate.spec)
    {
        Ok(fields) => !fields.is_empty() || fit::another_profile(request, certificate).is_some(),
        Err(_) => true,
    };
    if next.iter().any(outdated) {
        return None;
    }
    let at = after_failure(situation)?;
    let failed = certificate.status.last_failure_time.as_ref()?.0;
    let soon = || failed.saturating_add(shortest(&situation.settings));
    let earliest = match (situation.anew, &situation.dns_changed) {
        (Some(Anew::AtOnce), _) => failed.saturating_add(SECOND).unwrap_or(at),
        (Some(Anew::Soon), _) | (None, Some(_)) => soon().unwrap_or(at),
        (None, None) => at,
    };
    Some(at.min(earliest)).filter(|at| *at > situation.now)
}

/// Whether the wait after the last failure is not over, whatever has changed since.
pub fn is_in_force(situation: &Situation) -> bool {
    after_failure(situation).is_some_and(|at| at > situation.now)
}

/// The wait after the last failure, if it is not over and nothing is issued meanwhile.
pub fn wait(situation: &Situation) -> Option<Wait> {
    let certificate = &situation.certificate;
    let ends = after_failure(situation).filter(|at| *at > situation.now)?;
    if certificate.is_issuing() || certificate.meta.deleting {
        return None;
    }
    let next = Some(certificate.next_revision());
    let mut requests = situation.requests.iter();
    let request = requests.find(|request| request.revision() == next)?;
    Some(Wait {
        certificate: certificate.meta.uid.clone(),
        request: request.meta.uid.clone(),
        failed: certificate.status.last_failure_time.as_ref()?.0,
        ends,
    })
}

/// The shortest wait after a failure that what changes by itself leads to.
pub fn shortest(settings: &Settings) -> SignedDuration {
    SHORTEST_CUT.min(settings.backoff_min / PART_OF_FIRST_WAIT)
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
    let expiry = match situation.failure {
        Failure::Open => expiry,
        // Asking more often for what is refused does not make it less refused.
        Failure::Refused => None,
    };
    before(&situation.settings, failed, attempts, expiry)
}

/// The same, where the failures may end any time before the certificate expires at `expiry`.
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

/// `failure`, and when the next try is. `dns_changed` is the name that DNS has changed of since.
pub fn message(failure: &str, dns_changed: Option<&str>, at: Timestamp) -> String {
    const NEXT: &str = "; next try at ";
    let failure = failure.rsplit_once(NEXT).map_or(failure, |(text, _)| text);
    let failure = match failure {
        "" => "The last issuance failed",
        text => text,
    };
    match dns_changed {
        Some(name) => format!("{failure}; DNS of {name} changed{NEXT}{at}"),
        None => format!("{failure}{NEXT}{at}"),
    }
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
            (6, Some(hours(36)), hours(6)),
            (1, Some(hours(40)), hours(1)),
            (6, Some(hours(3)), SignedDuration::from_mins(30)),
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

    /// The tries from `left` before the certificate expires, when every one fails, as hours from the
    /// first.
    fn tries(left: SignedDuration, hurried: bool) -> Vec<f64> {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let expiry = start + left;
        let (mut at, mut hours) = (start, Vec::new());
        while at < expiry {
            hours.push(start.duration_until(at).as_secs_f64() / 3600.0);
            let attempts = i64::try_from(hours.len()).unwrap();
            at = before(
                &Settings::default(),
                at,
                attempts,
                Some(expiry).filter(|_| hurried),
            );
        }
        hours
    }

    #[test]
    fn a_short_certificate_is_tried_often_and_a_refusal_seldom() {
        let third = |lifetime| SignedDuration::from_hours(lifetime) / 3;
        let short = tries(third(160), true);
        assert!(short[11] < 45.0, "{short:?}");
        let long = tries(third(90 * 24), true);
        assert!(long.len() <= 60, "{}", long.len());
        let refused = tries(third(90 * 24), false);
        assert_eq!(refused.len(), 27);
        assert_eq!(refused[..6], [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]);
        // Never more in any hour than CAs take failed validations of a name.
        for tries in [&short, &long] {
            let crowded = tries.windows(6).find(|six| six[5] - six[0] <= 1.0);
            assert_eq!(crowded, None);
        }
    }

    #[test]
    fn the_message_names_the_next_try_once() {
        let at: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let once = message("It failed: no DNS", None, at);
        assert_eq!(once, "It failed: no DNS; next try at 2026-01-01T01:00:00Z");
        assert_eq!(message(&once, None, at), once);
        assert_eq!(
            message(&once, Some("a.example"), at),
            "It failed: no DNS; DNS of a.example changed; next try at 2026-01-01T01:00:00Z"
        );
        assert_eq!(
            message("", None, at),
            "The last issuance failed; next try at 2026-01-01T01:00:00Z"
        );
    }
}
