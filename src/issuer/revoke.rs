//! How is a certificate revoked at its CA, and by which key?

use std::time::Duration;

use instant_acme::RevocationReason as AcmeReason;
use jiff::Timestamp;

use crate::{
    acme::{self, AccountKey, ProblemType, revocation::Revoked},
    api::{
        acme::AcmeIssuer,
        deletion::RevocationReason,
        issuance::{AcmeOrigin, KeyPlace},
        names::secret_key,
    },
    cluster::{Class, ObjectKey, RequestError},
    issuer::{
        refusal::CaError,
        secret::{self, Entry},
        sessions::Sessions,
    },
    pki::{PublicKeyHash, certificate::CertificateFacts, key::PrivateKey},
};

/// What is to be revoked, and where the keys are that may sign for it.
#[derive(Clone, Copy, Debug)]
pub struct Revocation<'a> {
    /// The account that ordered it, and how its CA is reached.
    pub origin: &'a AcmeOrigin,
    /// The certificate, DER.
    pub certificate: &'a [u8],
    /// Why.
    pub reason: RevocationReason,
    /// Where the account key may be, beside the place that the origin names.
    pub escrow: &'a KeyPlace,
    /// The Secret that may hold the certificate's own key.
    pub secret: &'a ObjectKey,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// It is revoked.
    Revoked {
        /// Whether it was before.
        already: bool,
        /// Which key signed.
        by: Signatory,
    },
    /// The CA does not know it.
    Unknown,
    /// The CA will not, or nobody can sign.
    Refused(String),
    /// To be tried again.
    Later {
        /// What stood in the way.
        why: String,
        /// How long the CA wants to be left alone.
        wait: Option<Duration>,
    },
}

/// Which key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatory {
    /// That of the account.
    Account,
    /// That of the certificate.
    Certificate,
    /// That of the CA, under its list.
    Authority,
}

impl Signatory {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account key",
            Self::Certificate => "key of the certificate",
            Self::Authority => "key of the CA",
        }
    }
}

impl Sessions {
    /// Revoke a certificate: by the account that ordered it, and where that is not known any more, by
    /// the certificate's own key.
    ///
    /// # Errors
    /// Keys cannot be read.
    pub async fn revoke(&self, what: Revocation<'_>) -> Result<Outcome, RequestError> {
        let AcmeOrigin {
            account_key,
            account_url,
            ca_bundle,
            server,
            skip_tls_verify,
        } = what.origin;
        let client = match self.client(&AcmeIssuer {
            server: server.clone(),
            ca_bundle: ca_bundle.clone(),
            skip_tls_verify: *skip_tls_verify,
            ..AcmeIssuer::default()
        }) {
            Ok(client) => client,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        let reason = Some(reason(what.reason));
        let mut refusal = None;
        for place in [account_key, what.escrow] {
            let Some(key) = self.key_at(place).await? else {
                continue;
            };
            let session = client.session(key, account_url);
            let answer = session.revoke(what.certificate, reason.clone()).await;
            match judge(answer, Signatory::Account, self.clock().now()) {
                Outcome::Refused(why) => refusal = Some(why),
                outcome => return Ok(outcome),
            }
        }
        if let Some(key) = self.own_key(what).await? {
            let answer = client
                .revoke_with_certificate_key(what.certificate, reason, &key)
                .await;
            match judge(answer, Signatory::Certificate, self.clock().now()) {
                Outcome::Refused(why) => refusal = Some(why),
                outcome => return Ok(outcome),
            }
        }
        let nobody = "neither the account key nor the key of the certificate is left to sign with";
        Ok(Outcome::Refused(
            refusal.unwrap_or_else(|| nobody.to_owned()),
        ))
    }

    /// The account key at `place`, if there is one that can be used.
    async fn key_at(&self, place: &KeyPlace) -> Result<Option<AccountKey>, RequestError> {
        let secret = ObjectKey::new(place.namespace.as_str(), place.name.as_str());
        match secret::read(self.cluster(), &secret, &place.key).await? {
            Entry::NoSecret | Entry::Absent => Ok(None),
            Entry::Found { bytes, .. } => Ok(AccountKey::from_pem(&*bytes).ok()),
        }
    }

    /// The certificate's own key, if its Secret still holds it, and ACME has a signature for it.
    async fn own_key(&self, what: Revocation<'_>) -> Result<Option<AccountKey>, RequestError> {
        let entry = secret_key::PRIVATE_KEY;
        let Entry::Found { bytes, .. } = secret::read(self.cluster(), what.secret, entry).await?
        else {
            return Ok(None);
        };
        let wanted = CertificateFacts::from_der(what.certificate).map(|facts| facts.public_key);
        let is_wanted = |hash: PublicKeyHash| wanted.as_ref().is_ok_and(|wanted| *wanted == hash);
        let key = PrivateKey::from_pem(&*bytes).ok();
        let key = key.filter(|key| key.public_key_hash().is_ok_and(is_wanted));
        Ok(key.and_then(|key| AccountKey::new(key).ok()))
    }
}

fn judge(answer: Result<Revoked, acme::Error>, by: Signatory, now: Timestamp) -> Outcome {
    let error = match answer {
        Ok(Revoked::Now) => return Outcome::Revoked { already: false, by },
        Ok(Revoked::Already) => return Outcome::Revoked { already: true, by },
        Err(error) => error,
    };
    if matches!(
        error,
        acme::Error::Unsupported { .. } | acme::Error::Sign { .. }
    ) {
        return Outcome::Refused(error.to_string());
    }
    let is_lost = error
        .problem()
        .is_some_and(|problem| problem.kind == ProblemType::AccountDoesNotExist);
    let is_unknown = error
        .problem()
        .is_some_and(|problem| problem.status == Some(404));
    if is_unknown && !is_lost {
        return Outcome::Unknown;
    }
    let error = CaError::new(error, now);
    if is_lost || error.problem().is_some() && error.is_refusal() {
        return Outcome::Refused(error.to_string());
    }
    Outcome::Later {
        wait: match error.class() {
            Class::RateLimited(wait) => Some(wait),
            _ => None,
        },
        why: error.to_string(),
    }
}

fn reason(reason: RevocationReason) -> AcmeReason {
    match reason {
        RevocationReason::Unspecified => AcmeReason::Unspecified,
        RevocationReason::KeyCompromise => AcmeReason::KeyCompromise,
        RevocationReason::AffiliationChanged => AcmeReason::AffiliationChanged,
        RevocationReason::Superseded => AcmeReason::Superseded,
        RevocationReason::CessationOfOperation => AcmeReason::CessationOfOperation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::Action;

    fn problem(kind: &str, status: u16) -> acme::Error {
        let document = format!(
            r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "no", "status": {status}}}"#
        );
        acme::Error::Problem {
            action: Action::Revoke,
            problem: Box::new(serde_json::from_str(&document).unwrap()),
            retry_after: None,
        }
    }

    #[test]
    fn answers_are_done_refused_or_later() {
        let http = |status| acme::Error::Http {
            action: Action::Revoke,
            url: "https://ca.example".into(),
            status,
            excerpt: String::new(),
            retry_after: None,
        };
        let table = [
            (Ok(Revoked::Now), "now"),
            (Ok(Revoked::Already), "already"),
            (Err(problem("malformed", 404)), "unknown"),
            (Err(problem("accountDoesNotExist", 404)), "refused"),
            (Err(problem("malformed", 400)), "refused"),
            (Err(problem("unauthorized", 403)), "refused"),
            (Err(problem("accountDoesNotExist", 400)), "refused"),
            (Err(problem("badRevocationReason", 400)), "refused"),
            (
                Err(acme::Error::Unsupported {
                    action: Action::Revoke,
                }),
                "refused",
            ),
            (Err(problem("rateLimited", 429)), "wait"),
            (Err(problem("serverInternal", 500)), "later"),
            (Err(http(503)), "later"),
            // Whatever stands before the CA may go away.
            (Err(http(404)), "later"),
        ];
        for (answer, want) in table {
            let said = format!("{answer:?}");
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let found = match judge(answer, Signatory::Account, now) {
                Outcome::Revoked { already: false, .. } => "now",
                Outcome::Revoked { already: true, .. } => "already",
                Outcome::Unknown => "unknown",
                Outcome::Refused(_) => "refused",
                Outcome::Later { wait: Some(_), .. } => "wait",
                Outcome::Later { wait: None, .. } => "later",
            };
            assert_eq!(found, want, "{said}");
        }
    }
}
