//! What does a CA want to see before it believes in a name (RFC 8555, 7.5 and 8)?

use std::collections::BTreeMap;

use instant_acme::{AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Action, Error, Open, Problem, Session, lenient_time};
use crate::net::http::RetryAfter;

/// The state of one name of an order. It may be born valid.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Authorization {
    /// Its URL.
    #[serde(skip)]
    pub url: String,
    /// When the CA wants to be asked again, if the answer says so.
    #[serde(skip)]
    pub retry_after: Option<RetryAfter>,
    /// The name, without `*.`.
    pub identifier: Open<Identifier, serde_json::Value>,
    /// How far it is.
    pub status: Open<AuthorizationStatus>,
    /// Until when it can be used, or waits.
    #[serde(default, deserialize_with = "lenient_time")]
    pub expires: Option<Timestamp>,
    /// Whether it is about the name with `*.` before it.
    #[serde(default)]
    pub wildcard: bool,
    /// The ways to prove control; one is enough.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

/// One way to prove control over a name.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Challenge {
    /// The kind; new kinds are [`ChallengeType::Unknown`].
    pub r#type: ChallengeType,
    /// Where it is accepted.
    #[serde(default)]
    pub url: String,
    /// How far it is.
    pub status: Option<Open<ChallengeStatus>>,
    /// What the answer is computed from, for the kinds that have one.
    pub token: Option<String>,
    /// When the CA was satisfied.
    #[serde(default, deserialize_with = "lenient_time")]
    pub validated: Option<Timestamp>,
    /// Why the CA was not.
    pub error: Option<Problem>,
    /// What else newer kinds come with, e.g. `issuer-domain-names`.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

impl Authorization {
    /// The name as it was ordered: with `*.` for a wildcard. `None` for kinds that are not known.
    pub fn name(&self) -> Option<String> {
        let identifier = self.identifier.known()?;
        Some(identifier.authorized(self.wildcard).to_string())
    }

    /// The challenge with this URL.
    pub fn challenge(&self, url: &str) -> Option<&Challenge> {
        self.challenges
            .iter()
            .find(|challenge| challenge.url == url)
    }

    /// The CA's reason if it is not satisfied: that of the challenge that failed.
    pub fn problem(&self) -> Option<&Problem> {
        self.challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref())
    }
}

impl Session {
    /// Reads an authorization.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn authorization(&self, url: &str) -> Result<Authorization, Error> {
        let answer = self.post_as_get(Action::Authorization, url).await?;
        let authorization = answer.json::<Authorization>()?;
        Ok(Authorization {
            url: url.to_owned(),
            retry_after: answer.retry_after(),
            ..authorization
        })
    }

    /// Tells the CA that what it looks for is in place.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn accept_challenge(&self, url: &str) -> Result<Challenge, Error> {
        self.post(Action::AcceptChallenge, url, &serde_json::json!({}))
            .await?
            .json()
    }

    /// Gives an authorization up (RFC 8555, 7.5.2), so that it no longer counts as pending.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn deactivate_authorization(&self, url: &str) -> Result<(), Error> {
        let payload = serde_json::json!({ "status": "deactivated" });
        self.post(Action::DeactivateAuthorization, url, &payload)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorizations_are_read_openly() {
        let authorization = serde_json::from_str::<Authorization>(
            r#"{"status": "pending", "expires": "2026-12-01T00:00:00Z", "wildcard": true,
                "identifier": {"type": "dns", "value": "example.com"}, "new": true,
                "challenges": [
                  {"type": "dns-01", "url": "https://ca/c/1", "status": "pending", "token": "t"},
                  {"type": "dns-persist-01", "url": "https://ca/c/2", "status": "pending",
                   "issuer-domain-names": ["ca.example"], "accounturi": "https://ca/a/1"},
                  {"type": "quantum-99", "status": "entangled"}
                ]}"#,
        )
        .unwrap();
        assert_eq!(authorization.status, AuthorizationStatus::Pending);
        assert_eq!(authorization.name().as_deref(), Some("*.example.com"));
        let [dns, persist, quantum] = &authorization.challenges[..] else {
            panic!("three challenges");
        };
        assert_eq!(dns.r#type, ChallengeType::Dns01);
        assert_eq!(dns.token.as_deref(), Some("t"));
        assert_eq!(
            persist.r#type,
            ChallengeType::Unknown("dns-persist-01".to_owned())
        );
        assert_eq!(persist.token, None);
        assert_eq!(persist.other["issuer-domain-names"][0], "ca.example");
        assert_eq!(quantum.status, Some(Open::Unknown("entangled".to_owned())));
    }

    #[test]
    fn born_valid_and_failed() {
        let valid = serde_json::from_str::<Authorization>(
            r#"{"status": "valid", "identifier": {"type": "ip", "value": "192.0.2.1"}}"#,
        )
        .unwrap();
        assert_eq!(valid.status, AuthorizationStatus::Valid);
        assert_eq!(valid.name().as_deref(), Some("192.0.2.1"));

        let failed = serde_json::from_str::<Authorization>(
            r#"{"status": "invalid", "identifier": {"type": "ship", "value": "Beagle"},
                "challenges": [{"type": "http-01", "url": "u", "status": "invalid", "token": "t",
                  "error": {"type": "urn:ietf:params:acme:error:connection",
                            "detail": "refused", "status": 400}}]}"#,
        )
        .unwrap();
        assert_eq!(failed.name(), None);
        assert_eq!(
            failed.problem().unwrap().to_string(),
            "refused (connection)"
        );
    }
}
