//! What the CA's answer about an authorization means for a Challenge. Pure.

use instant_acme::{AuthorizationStatus, ChallengeStatus as AtCa};

use crate::{
    acme::{ProblemType, authorization::Authorization},
    api::order::State,
    issuer::refusal::CaError,
};

/// What an authorization as the CA shows it means for one of its challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It ended, in this state and for this reason.
    Final(State, String),
    /// The CA waits to be told.
    Pending,
    /// The CA is validating.
    Validating,
}

/// Said of a challenge that the CA found good.
const SUCCESS: &str = "Successfully authorized domain";

/// What the authorization means for the challenge at `url`.
pub(super) fn verdict(read: &Authorization, url: &str) -> Verdict {
    let challenge = read.challenge(url);
    let said = || {
        let own = challenge.and_then(|challenge| challenge.error.as_ref());
        own.or_else(|| read.problem()).map_or_else(
            || "the CA found the authorization invalid, and did not say why".to_owned(),
            ToString::to_string,
        )
    };
    match read.status.known() {
        Some(AuthorizationStatus::Valid) => Verdict::Final(State::Valid, SUCCESS.to_owned()),
        Some(AuthorizationStatus::Invalid) => Verdict::Final(State::Invalid, said()),
        Some(AuthorizationStatus::Expired) => Verdict::Final(
            State::Expired,
            "the authorization expired at the CA".to_owned(),
        ),
        Some(AuthorizationStatus::Revoked | AuthorizationStatus::Deactivated) => Verdict::Final(
            State::Invalid,
            "the authorization was deactivated or revoked at the CA".to_owned(),
        ),
        Some(AuthorizationStatus::Pending) | None => {
            let status = challenge.and_then(|challenge| challenge.status.as_ref());
            match status.and_then(|status| status.known()) {
                Some(AtCa::Processing | AtCa::Valid) => Verdict::Validating,
                Some(AtCa::Invalid) => Verdict::Final(State::Invalid, said()),
                Some(AtCa::Pending) | None => Verdict::Pending,
            }
        }
    }
}

/// The state of a challenge whose authorization the CA refuses to show or to take on.
pub(super) fn state_of(error: &CaError) -> State {
    match error.problem().map(|problem| &problem.kind) {
        Some(ProblemType::Malformed) => State::Expired,
        _ => State::Errored,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(status: &str, challenge: Value) -> Authorization {
        serde_json::from_value(json!({
            "identifier": {"type": "dns", "value": "example.com"}, "status": status,
            "challenges": [
                {"type": "dns-01", "url": "other", "status": "pending", "token": "t"},
                challenge,
            ],
        }))
        .unwrap()
    }

    #[test]
    fn the_authorization_decides() {
        let at =
            |status: &str| json!({"type": "http-01", "url": "c", "status": status, "token": "t"});
        let mut refused = at("invalid");
        refused["error"] = json!({
            "type": "urn:ietf:params:acme:error:unauthorized", "detail": "got 404", "status": 403,
        });
        let valid = Verdict::Final(State::Valid, SUCCESS.to_owned());
        let table = [
            ("pending", at("pending"), Verdict::Pending),
            ("pending", at("processing"), Verdict::Validating),
            ("valid", at("valid"), valid.clone()),
            ("valid", at("pending"), valid),
        ];
        for (status, challenge, expected) in table {
            assert_eq!(
                verdict(&read(status, challenge.clone()), "c"),
                expected,
                "{status}"
            );
        }
        for status in ["invalid", "pending"] {
            let Verdict::Final(State::Invalid, why) = verdict(&read(status, refused.clone()), "c")
            else {
                panic!("{status} must be final")
            };
            assert!(why.contains("got 404"), "{why}");
        }
        let expired = verdict(&read("expired", at("pending")), "c");
        assert!(matches!(expired, Verdict::Final(State::Expired, _)));
        assert_eq!(
            verdict(&read("something-new", at("odd")), "c"),
            Verdict::Pending
        );
    }
}
