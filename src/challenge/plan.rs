//! What to do next for a Challenge. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{challenge::ChallengeStatus, condition, order::State},
    challenge::facts::ChallengeFacts,
};

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take the proof away, then let go of the challenge.
    CleanUp,
    /// Nothing is left to do.
    Done,
    /// Put the proof in place; needs a slot.
    Present,
    /// The proof is in place: check it, have the CA validate it, see what the CA says.
    Validate,
}

/// Decide the next step.
pub fn plan(challenge: &ChallengeFacts) -> Step {
    let presented = challenge.status.presented == Some(true);
    if challenge.meta.deleting || challenge.is_final() {
        // A finalizer without the mark: a crash may have come between the two.
        return if presented || challenge.is_guarded() {
            Step::CleanUp
        } else {
            Step::Done
        };
    }
    if presented {
        Step::Validate
    } else {
        Step::Present
    }
}

/// What this process knows of a challenge besides what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// When the authorization ends at the CA, once it was read.
    pub expires: Option<Timestamp>,
    /// Whether the CA was told that the proof is in place.
    pub accepted: bool,
    /// Whether the authorization was read since the start of the process.
    pub read: bool,
    /// When the proof was put in place, where that need not be stored yet.
    pub presented: Option<Timestamp>,
}

/// The status of `stored` with what `progress` knows of its proof, if that says more than what is
/// stored.
pub fn presented(stored: &ChallengeFacts, progress: Progress) -> Option<ChallengeStatus> {
    let at = progress.presented?;
    let is_new = stored.status.presented.is_none() && !stored.is_final();
    is_new.then(|| ChallengeStatus {
        presented: Some(true),
        presented_at: Some(condition::to_the_second(at)),
        processing: Some(true),
        reason: stored.status.reason.clone(),
        state: Some(State::Pending),
    })
}

/// How to go on with a challenge whose proof is in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Read the authorization: it may have been decided, or be near its end.
    Read,
    /// Check as the CA would.
    SelfCheck,
    /// Wait as the solver asks instead of checking.
    Wait(Duration),
    /// Tell the CA that the proof is in place.
    Accept,
    /// The authorization ends before the proof could be seen: give up.
    GiveUp(Timestamp),
}

/// How long before the end of an authorization the self-check ends: the CA needs time to validate.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Decide how to go on. `wait` is the solver's `waitInsteadOfSelfCheck`.
pub fn validation(
    challenge: &ChallengeFacts,
    progress: Progress,
    wait: Option<Duration>,
    now: Timestamp,
) -> Validation {
    if progress.accepted || !progress.read {
        return Validation::Read;
    }
    if let Some(expires) = progress.expires
        && now.duration_until(expires) < MARGIN
    {
        return Validation::GiveUp(expires);
    }
    let Some(wait) = wait else {
        return Validation::SelfCheck;
    };
    let since = challenge
        .status
        .presented_at
        .as_ref()
        .map_or(now, |at| at.0);
    let waited = Duration::try_from(since.duration_until(now)).unwrap_or_default();
    match wait.checked_sub(waited) {
        None | Some(Duration::ZERO) => Validation::Accept,
        Some(left) => Validation::Wait(left),
    }
}

/// Decide how long after presenting a failed check is worth telling: what is seen within the first
/// moments is seldom more than the world catching up.
pub fn tells(challenge: &ChallengeFacts, now: Timestamp) -> bool {
    const GRACE: SignedDuration = SignedDuration::from_secs(2);
    challenge
        .status
        .presented_at
        .as_ref()
        .is_none_or(|at| at.0.duration_until(now) >= GRACE)
}

/// The reason to store for a failed check, if it differs enough from the `stored` one: the wait
/// grows with each check, and only what was seen, or the longest wait, is worth a write.
pub fn waiting_reason(
    stored: Option<&str>,
    type_: &str,
    seen: &str,
    wait: Duration,
    longest: Duration,
) -> Option<String> {
    let what = format!("Waiting for {type_} challenge propagation: {seen}; next check in ");
    let reason = format!("{what}{}s", wait.as_secs_f64().ceil());
    match stored {
        Some(stored) if stored == reason => None,
        Some(stored) if stored.starts_with(&what) && wait < longest => None,
        _ => Some(reason),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{api::challenge::Challenge, cluster::Facts};

    fn challenge(metadata: Value, status: Value) -> ChallengeFacts {
        let challenge: Challenge = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge", "metadata": metadata,
            "spec": {
                "authorizationURL": "https://ca/a", "dnsName": "example.com", "key": "k",
                "issuerRef": {"name": "ca"}, "solver": {}, "token": "t", "type": "DNS-01",
                "url": "https://ca/c",
            },
            "status": status,
        }))
        .unwrap();
        ChallengeFacts::reduce(challenge)
    }

    #[test]
    fn each_state_has_its_step() {
        let guarded = json!({"finalizers": ["acme.cert-manager.io/finalizer"]});
        let legacy = json!({"finalizers": ["finalizer.acme.cert-manager.io"]});
        let foreign = json!({"finalizers": ["example.com/finalizer"]});
        let deleting = json!({
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["acme.cert-manager.io/finalizer"],
        });
        let table = [
            (json!({}), json!({}), Step::Present),
            (guarded.clone(), json!({"state": "pending"}), Step::Present),
            (
                guarded.clone(),
                json!({"state": "pending", "presented": true}),
                Step::Validate,
            ),
            (
                guarded.clone(),
                json!({"state": "valid", "presented": true}),
                Step::CleanUp,
            ),
            (
                guarded,
                json!({"state": "invalid", "presented": false}),
                Step::CleanUp,
            ),
            (legacy, json!({"state": "valid"}), Step::CleanUp),
            (
                foreign,
                json!({"state": "valid", "presented": false}),
                Step::Done,
            ),
            (json!({}), json!({"state": "errored"}), Step::Done),
            (deleting, json!({"state": "pending"}), Step::CleanUp),
        ];
        for (metadata, status, expected) in table {
            let challenge = challenge(metadata.clone(), status.clone());
            assert_eq!(plan(&challenge), expected, "{metadata} {status}");
        }
    }

    #[test]
    fn what_is_known_of_the_proof_counts_until_it_is_stored() {
        let at: Timestamp = "2026-01-01T12:00:00.5Z".parse().unwrap();
        let known = Progress {
            presented: Some(at),
            ..Progress::default()
        };
        let overlaid = |status: Value, progress| presented(&challenge(json!({}), status), progress);
        assert_eq!(overlaid(json!({}), Progress::default()), None);
        for stored in [
            json!({"presented": true}),
            json!({"presented": false}),
            json!({"state": "valid"}),
        ] {
            assert_eq!(overlaid(stored.clone(), known), None, "{stored}");
        }
        let status = overlaid(json!({"reason": "r"}), known).unwrap();
        assert_eq!(
            serde_json::to_value(status).unwrap(),
            json!({
                "presented": true, "presentedAt": "2026-01-01T12:00:00Z", "processing": true,
                "reason": "r", "state": "pending",
            })
        );
    }

    #[test]
    fn a_check_ends_before_the_authorization_does() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let challenge = challenge(
            json!({}),
            json!({"presented": true, "presentedAt": "2026-01-01T11:59:50Z"}),
        );
        let at = |seconds: i64| now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        let read = Progress {
            read: true,
            ..Progress::default()
        };
        let until = |seconds| Progress {
            expires: Some(at(seconds)),
            ..read
        };
        let secs = |seconds| Some(Duration::from_secs(seconds));
        let table = [
            (Progress::default(), None, Validation::Read),
            (
                Progress {
                    accepted: true,
                    ..read
                },
                None,
                Validation::Read,
            ),
            (read, None, Validation::SelfCheck),
            (until(3600), None, Validation::SelfCheck),
            (until(59), None, Validation::GiveUp(at(59))),
            (until(-5), None, Validation::GiveUp(at(-5))),
            (read, secs(30), Validation::Wait(Duration::from_secs(20))),
            (read, secs(10), Validation::Accept),
            (read, secs(0), Validation::Accept),
        ];
        for (progress, wait, expected) in table {
            assert_eq!(
                validation(&challenge, progress, wait, now),
                expected,
                "{progress:?}"
            );
        }
    }

    #[test]
    fn a_reason_is_written_when_it_says_something_new() {
        let longest = Duration::from_secs(10);
        let reason = |stored: Option<&str>, seen, wait| {
            waiting_reason(
                stored,
                "HTTP-01",
                seen,
                Duration::from_millis(wait),
                longest,
            )
        };
        let first = reason(None, "answered 404", 1300).unwrap();
        assert_eq!(
            first,
            "Waiting for HTTP-01 challenge propagation: answered 404; next check in 2s"
        );
        assert_eq!(reason(Some(&first), "answered 404", 5000), None);
        assert!(reason(Some(&first), "answered 500", 5000).is_some());
        let last = reason(Some(&first), "answered 404", 10_000).unwrap();
        assert!(last.ends_with("next check in 10s"));
        assert_eq!(reason(Some(&last), "answered 404", 10_000), None);
    }
}
