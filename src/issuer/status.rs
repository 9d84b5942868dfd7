//! What does the status of an issuer say after a check? Pure.

use jiff::Timestamp;

use crate::{
    api::{
        acme::{AcmeIssuer, AcmeIssuerStatus},
        condition::{self, Condition},
        issuer::IssuerStatus,
        reason::issuer as reason,
    },
    issuer::{error::Error, solvers},
};

/// Message of a Ready condition that is True; remarks follow it.
const REGISTERED: &str = "The ACME account was registered with the ACME server";

/// Message of the Ready condition of a CA.
const VERIFIED: &str = "Signing CA verified";

/// What came of a check.
#[derive(Debug)]
pub(super) struct Checked {
    /// The account that holds after it.
    pub(super) account: Option<AcmeIssuerStatus>,
    /// Whether the issuer is ready.
    pub(super) result: Result<Ready, Error>,
}

/// Why an issuer is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// Its account is registered.
    Account,
    /// Its CA can sign.
    KeyPair,
    /// There is nothing to check.
    Always,
}

/// The status after a check. It is the old one where only something passing stands in the way of
/// looking again at an account that works.
pub(super) fn status_after(
    old: &IssuerStatus,
    acme: Option<&AcmeIssuer>,
    generation: i64,
    checked: &Checked,
    now: Timestamp,
) -> IssuerStatus {
    let Checked { account, result } = checked;
    let was_ready = condition::is_true(old.conditions.as_ref(), condition::kind::READY);
    let mut status = IssuerStatus {
        acme: account.clone(),
        conditions: old.conditions.clone(),
    };
    let (reason, message) = match result {
        Ok(Ready::KeyPair) => (reason::KEY_PAIR_VERIFIED, VERIFIED.to_owned()),
        Ok(Ready::Always) => (reason::IS_READY, String::new()),
        Ok(Ready::Account) => {
            let remarks = acme.and_then(solvers::remarks);
            let remarks = remarks.map(|text| format!("; {text}")).unwrap_or_default();
            (
                reason::ACME_ACCOUNT_REGISTERED,
                format!("{REGISTERED}{remarks}"),
            )
        }
        Err(error) if error.is_passing() && was_ready && (account.is_some() || acme.is_none()) => {
            return status;
        }
        Err(error) => (error.condition_reason(), error.to_string()),
    };
    let ready = Condition::new(
        condition::kind::READY,
        result.is_ok(),
        reason,
        message,
        Some(generation),
    );
    condition::set(status.conditions.get_or_insert_default(), ready, now);
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        acme,
        api::condition::ConditionStatus,
        issuer::{account::account_status, error::Doing, kind::Unsupported},
    };

    const SERVER: &str = "https://ca.example/dir";
    const T0: &str = "2026-01-01T00:00:00Z";
    const T1: &str = "2026-01-02T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn known() -> AcmeIssuerStatus {
        account_status("https://ca.example/acct/1", "Ops@example.com", "hash")
    }

    fn ready_of(
        status: &IssuerStatus,
    ) -> (ConditionStatus, String, String, Option<i64>, Timestamp) {
        let ready = condition::find(status.conditions.as_ref(), "Ready")
            .unwrap()
            .clone();
        (
            ready.status,
            ready.reason.unwrap(),
            ready.message.unwrap(),
            ready.observed_generation,
            ready.last_transition_time.unwrap().0,
        )
    }

    #[test]
    fn the_status_tells_the_outcome() {
        let acme: AcmeIssuer = serde_json::from_value(json!({
            "server": SERVER, "privateKeySecretRef": {"name": "account"},
            "solvers": [{"dns01": {"route53": {}}}],
        }))
        .unwrap();
        let good = Checked {
            account: Some(known()),
            result: Ok(Ready::Account),
        };
        let first = status_after(&IssuerStatus::default(), Some(&acme), 1, &good, at(T0));
        let (status, reason, message, generation, time) = ready_of(&first);
        assert_eq!(
            (status, reason.as_str()),
            (ConditionStatus::True, "ACMEAccountRegistered")
        );
        assert!(
            message.starts_with("The ACME account was registered with the ACME server; solvers[0]")
        );
        assert_eq!((generation, time), (Some(1), at(T0)));
        assert_eq!(first.acme, Some(known()));
        let again = status_after(&first, Some(&acme), 1, &good, at(T1));
        assert_eq!(again, first, "nothing to write");

        let bad = Checked {
            account: None,
            result: Err(Error::BindingMissing {
                name: "eab".into(),
                namespace: "web".into(),
            }),
        };
        let failed = status_after(&first, Some(&acme), 2, &bad, at(T1));
        let (status, reason, message, generation, time) = ready_of(&failed);
        assert_eq!(
            (status, reason.as_str()),
            (ConditionStatus::False, "ErrRegisterACMEAccount")
        );
        assert_eq!(message, "EAB Secret \"eab\" not found in namespace \"web\"");
        assert_eq!((generation, time), (Some(2), at(T1)));
        assert_eq!(failed.acme, None);
    }

    #[test]
    fn a_ca_that_is_down_does_not_stop_an_account_that_works() {
        let down = || {
            let source = acme::Error::Http {
                action: acme::Action::Directory,
                url: SERVER.into(),
                status: 503,
                excerpt: String::new(),
                retry_after: None,
            };
            Err(Error::acme(Doing::Register, source, at(T1)))
        };
        let good = Checked {
            account: Some(known()),
            result: Ok(Ready::Account),
        };
        let acme = AcmeIssuer::default();
        let old = status_after(&IssuerStatus::default(), Some(&acme), 1, &good, at(T0));
        let kept = Checked {
            account: Some(known()),
            result: down(),
        };
        assert_eq!(status_after(&old, Some(&acme), 2, &kept, at(T1)), old);
        let lost = Checked {
            account: None,
            result: down(),
        };
        let after = status_after(&old, Some(&acme), 2, &lost, at(T1));
        assert_eq!(ready_of(&after).0, ConditionStatus::False);
        let unsupported = Checked {
            account: Some(known()),
            result: Err(Error::Unsupported(Unsupported::Vault)),
        };
        let after = status_after(&old, Some(&acme), 2, &unsupported, at(T1));
        assert_eq!(ready_of(&after).1, "NotSupported");
    }
}
