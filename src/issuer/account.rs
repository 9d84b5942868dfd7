//! Is the account of an ACME issuer up to date, and what does the status say after a check? Pure.

use jiff::Timestamp;
use reqwest::Url;

use crate::{
    api::{
        acme::{AcmeIssuer, AcmeIssuerStatus},
        condition::{self, Condition},
        issuer::IssuerStatus,
        reason::issuer as reason,
    },
    issuer::{error::Error, solvers},
};

/// Entry of the Secret that holds the account key, where the issuer names none.
pub const DEFAULT_KEY_ENTRY: &str = "tls.key";

/// Message of a Ready condition that is True; remarks follow it.
const REGISTERED: &str = "The ACME account was registered with the ACME server";

/// Message of the Ready condition of a CA.
const VERIFIED: &str = "Signing CA verified";

/// Directories of Let's Encrypt as they were before RFC 8555, and what they became.
const OLD_SERVERS: [(&str, &str); 2] = [
    (
        "https://acme-v01.api.letsencrypt.org/directory",
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    (
        "https://acme-staging.api.letsencrypt.org/directory",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
];

/// The directory URL of `acme`, when its settings can work at all.
///
/// # Errors
/// The setting that cannot.
pub fn server_of(acme: &AcmeIssuer) -> Result<Url, Error> {
    let server = acme.server.as_str();
    let plain = server.strip_suffix('/').unwrap_or(server);
    if let Some((_, successor)) = OLD_SERVERS.iter().find(|(old, _)| *old == plain) {
        return Err(Error::OldServer {
            server: server.to_owned(),
            successor,
        });
    }
    let wrong = |why: String| Error::ServerUrl {
        server: server.to_owned(),
        why,
    };
    let is_web = server.starts_with("https://") || server.starts_with("http://");
    if !is_web {
        return Err(wrong("it must begin with https://".to_owned()));
    }
    let url = Url::parse(server).map_err(|error| wrong(error.to_string()))?;
    let has_bundle = acme.ca_bundle.as_ref().is_some_and(|pem| !pem.0.is_empty());
    if has_bundle && acme.skip_tls_verify == Some(true) {
        return Err(Error::Trust);
    }
    if acme.private_key_secret_ref.name.is_empty() {
        return Err(Error::KeyUnnamed);
    }
    Ok(url)
}

/// The account that the spec and the key ask for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its server's directory.
    pub server: &'a Url,
    /// Its contact; may be empty.
    pub email: &'a str,
    /// Its key, by [`crate::acme::AccountKey::hash`].
    pub key_hash: &'a str,
    /// Whether the key was made just now.
    pub key_is_new: bool,
    /// Generation of the issuer.
    pub generation: i64,
}

/// What to do about the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is up to date: the CA is not asked.
    Nothing,
    /// Look whether the key has an account; if not, register. In this order, so that an external
    /// account binding is needed only once.
    Find,
    /// The key cannot have an account yet.
    Register,
}

/// Decide what to do about the account, from the status.
pub fn step(status: &IssuerStatus, wanted: Wanted<'_>) -> Step {
    if wanted.key_is_new {
        return Step::Register;
    }
    let known = status.acme.as_ref();
    let fits = known.is_some_and(|known| {
        is_of(known, wanted.server, Some(wanted.key_hash))
            && same_email(known.last_registered_email.as_deref(), wanted.email)
    });
    // The URL of the account tells the server's host only: any change of the spec might be one of
    // the path, and is looked into.
    if fits && was_registered(status, wanted.generation) {
        Step::Nothing
    } else {
        Step::Find
    }
}

/// What of the account in the status still holds for these settings: the server, and the key if it
/// is known.
pub fn still_valid(
    status: &IssuerStatus,
    server: &Url,
    key_hash: Option<&str>,
) -> Option<AcmeIssuerStatus> {
    status
        .acme
        .clone()
        .filter(|known| is_of(known, server, key_hash))
}

/// Whether the account that was found needs its contacts changed.
pub fn needs_contacts(
    known: Option<&AcmeIssuerStatus>,
    url: &str,
    contacts: &[String],
    email: &str,
) -> bool {
    let wanted = contacts_of(email);
    if !contacts.is_empty() {
        return contacts.len() != wanted.len()
            || contacts
                .iter()
                .zip(&wanted)
                .any(|(has, wants)| !has.eq_ignore_ascii_case(wants));
    }
    // Some CAs keep contacts to themselves: go by what was sent to this very account.
    match known.filter(|known| known.uri.as_deref() == Some(url)) {
        Some(known) => !same_email(known.last_registered_email.as_deref(), email),
        None => !wanted.is_empty(),
    }
}

/// The contacts of an account with this e-mail address.
pub fn contacts_of(email: &str) -> Vec<String> {
    match email {
        "" => Vec::new(),
        email => vec![format!("mailto:{}", email.to_lowercase())],
    }
}

/// The account as the status has it.
pub fn account_status(url: &str, email: &str, key_hash: &str) -> AcmeIssuerStatus {
    AcmeIssuerStatus {
        last_private_key_hash: Some(key_hash.to_owned()),
        last_registered_email: Some(email.to_owned()).filter(|email| !email.is_empty()),
        uri: Some(url.to_owned()),
    }
}

/// Whether an account at `url` can be one of the server: same scheme, host and port.
pub fn is_same_origin(url: &str, server: &Url) -> bool {
    Url::parse(url).is_ok_and(|url| url.origin() == server.origin())
}

/// What came of a check.
#[derive(Debug)]
pub struct Checked {
    /// The account that holds after it.
    pub account: Option<AcmeIssuerStatus>,
    /// Whether the issuer is ready.
    pub result: Result<Ready, Error>,
}

/// Why an issuer is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Its account is registered.
    Account,
    /// Its CA can sign.
    KeyPair,
    /// There is nothing to check.
    Always,
}

/// The status after a check. It is the old one where only something passing stands in the way of
/// looking again at an account that works.
pub fn status_after(
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

/// Whether the account was looked at in this generation, and found.
fn was_registered(status: &IssuerStatus, generation: i64) -> bool {
    let ready = condition::find(status.conditions.as_ref(), condition::kind::READY);
    ready.is_some_and(|ready| {
        ready.observed_generation == Some(generation)
            // Solvers are checked once the account stands.
            && matches!(
                ready.reason.as_deref(),
                Some(reason::ACME_ACCOUNT_REGISTERED | reason::INVALID_SOLVER)
            )
    })
}

fn is_of(known: &AcmeIssuerStatus, server: &Url, key_hash: Option<&str>) -> bool {
    let AcmeIssuerStatus {
        last_private_key_hash,
        last_registered_email: _,
        uri,
    } = known;
    let same_server = uri
        .as_deref()
        .is_some_and(|uri| is_same_origin(uri, server));
    let same_key = key_hash.is_none_or(|hash| last_private_key_hash.as_deref() == Some(hash));
    same_server && same_key
}

fn same_email(known: Option<&str>, wanted: &str) -> bool {
    known.unwrap_or_default().eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{api::condition::ConditionStatus, issuer::kind::Unsupported};

    const SERVER: &str = "https://ca.example/dir";
    const T0: &str = "2026-01-01T00:00:00Z";
    const T1: &str = "2026-01-02T00:00:00Z";

    fn server(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn known() -> AcmeIssuerStatus {
        account_status("https://ca.example/acct/1", "Ops@example.com", "hash")
    }

    fn status(
        acme: Option<AcmeIssuerStatus>,
        ready: (&str, &str),
        generation: i64,
    ) -> IssuerStatus {
        let (ready, reason) = ready;
        let conditions: Value = json!([{
            "type": "Ready", "status": ready, "reason": reason, "message": "as it was",
            "observedGeneration": generation, "lastTransitionTime": T0,
        }]);
        IssuerStatus {
            acme,
            conditions: serde_json::from_value(conditions).unwrap(),
        }
    }

    #[test]
    fn servers_that_cannot_work_are_told() {
        let acme = |value: Value| -> AcmeIssuer { serde_json::from_value(value).unwrap() };
        let with = |server: &str| {
            acme(json!({"server": server, "privateKeySecretRef": {"name": "account"}}))
        };
        let table = [
            (with(SERVER), None),
            (with("http://ca.internal:14000/dir"), None),
            (with("ca.example/dir"), Some("InvalidURL")),
            (with("ftp://ca.example/dir"), Some("InvalidURL")),
            (with("https://"), Some("InvalidURL")),
            (with(""), Some("InvalidURL")),
            (
                with("https://acme-v01.api.letsencrypt.org/directory"),
                Some("InvalidConfig"),
            ),
            (
                with("https://acme-staging.api.letsencrypt.org/directory/"),
                Some("InvalidConfig"),
            ),
            (with("https://acme-v02.api.letsencrypt.org/directory"), None),
            (
                acme(json!({
                    "server": SERVER, "privateKeySecretRef": {"name": "account"},
                    "caBundle": "YQ==", "skipTLSVerify": true,
                })),
                Some("InvalidConfig"),
            ),
            (
                acme(json!({"server": SERVER, "privateKeySecretRef": {"name": ""}})),
                Some("ErrVerifyACMEAccount"),
            ),
        ];
        for (acme, reason) in table {
            let error = server_of(&acme).err();
            let found = error.as_ref().map(Error::condition_reason);
            assert_eq!(found, reason, "{}", acme.server);
        }
        let old = with("https://acme-v01.api.letsencrypt.org/directory");
        let message = server_of(&old).unwrap_err().to_string();
        assert!(message.ends_with("use https://acme-v02.api.letsencrypt.org/directory"));
    }

    #[test]
    fn the_ca_is_asked_only_when_something_changed() {
        let ready = ("True", "ACMEAccountRegistered");
        let wanted = |server, email, key_hash| Wanted {
            server,
            email,
            key_hash,
            key_is_new: false,
            generation: 3,
        };
        let same = server(SERVER);
        let other_path = server("https://ca.example/other");
        let other_host = server("https://ca.test/dir");
        let other_port = server("https://ca.example:444/dir");
        let plain = wanted(&same, "ops@example.com", "hash");
        let table = [
            (status(Some(known()), ready, 3), plain, Step::Nothing),
            // The status says the same of another path: only a new generation gives it away.
            (
                status(Some(known()), ready, 3),
                wanted(&other_path, "ops@example.com", "hash"),
                Step::Nothing,
            ),
            (
                status(Some(known()), ready, 2),
                wanted(&other_path, "ops@example.com", "hash"),
                Step::Find,
            ),
            (status(Some(known()), ready, 2), plain, Step::Find),
            (
                status(Some(known()), ready, 3),
                wanted(&other_host, "ops@example.com", "hash"),
                Step::Find,
            ),
            (
                status(Some(known()), ready, 3),
                wanted(&other_port, "ops@example.com", "hash"),
                Step::Find,
            ),
            (
                status(Some(known()), ready, 3),
                wanted(&same, "new@example.com", "hash"),
                Step::Find,
            ),
            (
                status(Some(known()), ready, 3),
                wanted(&same, "", "hash"),
                Step::Find,
            ),
            (
                status(Some(known()), ready, 3),
                wanted(&same, "ops@example.com", "other"),
                Step::Find,
            ),
            (status(None, ready, 3), plain, Step::Find),
            (IssuerStatus::default(), plain, Step::Find),
            (
                status(Some(known()), ("False", "InvalidSolver"), 3),
                plain,
                Step::Nothing,
            ),
            (
                status(Some(known()), ("False", "ErrVerifyACMEAccount"), 3),
                plain,
                Step::Find,
            ),
            (
                status(Some(known()), ready, 3),
                Wanted {
                    key_is_new: true,
                    ..plain
                },
                Step::Register,
            ),
        ];
        for (at, (status, wanted, step_wanted)) in table.into_iter().enumerate() {
            assert_eq!(step(&status, wanted), step_wanted, "case {at}: {wanted:?}");
        }
    }

    #[test]
    fn contacts_are_changed_when_they_differ() {
        let url = "https://ca.example/acct/1";
        let mail = |address: &str| vec![format!("mailto:{address}")];
        let table = [
            (mail("ops@example.com"), "Ops@example.com", false),
            (mail("Ops@example.com"), "ops@example.com", false),
            (mail("old@example.com"), "ops@example.com", true),
            (mail("old@example.com"), "", true),
            (vec![], "", true),
            (vec![], "ops@example.com", false),
            (vec![], "new@example.com", true),
            (
                vec!["mailto:ops@example.com".into(), "tel:+1".into()],
                "ops@example.com",
                true,
            ),
        ];
        for (contacts, email, want) in table {
            let found = needs_contacts(Some(&known()), url, &contacts, email);
            assert_eq!(found, want, "{contacts:?} {email}");
        }
        // Nothing was ever sent to another account, or without a status.
        for known in [
            None,
            Some(account_status("https://ca.example/acct/2", "", "h")),
        ] {
            assert!(needs_contacts(known.as_ref(), url, &[], "ops@example.com"));
            assert!(!needs_contacts(known.as_ref(), url, &[], ""));
        }
    }

    #[test]
    fn what_holds_of_the_account_is_kept() {
        let status = status(Some(known()), ("True", "ACMEAccountRegistered"), 1);
        let here = server(SERVER);
        let elsewhere = server("https://ca.test/dir");
        for (server, hash, kept) in [
            (&here, None, true),
            (&here, Some("hash"), true),
            (&here, Some("other"), false),
            (&elsewhere, None, false),
        ] {
            let found = still_valid(&status, server, hash);
            assert_eq!(found, kept.then(known), "{server} {hash:?}");
        }
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
            let source = crate::acme::Error::Http {
                action: crate::acme::Action::Directory,
                url: SERVER.into(),
                status: 503,
                excerpt: String::new(),
                retry_after: None,
            };
            Err(Error::acme(
                crate::issuer::error::Doing::Register,
                source,
                at(T1),
            ))
        };
        let old = status(Some(known()), ("True", "ACMEAccountRegistered"), 1);
        let kept = Checked {
            account: Some(known()),
            result: down(),
        };
        assert_eq!(
            status_after(&old, Some(&AcmeIssuer::default()), 2, &kept, at(T1)),
            old
        );
        let lost = Checked {
            account: None,
            result: down(),
        };
        let after = status_after(&old, Some(&AcmeIssuer::default()), 2, &lost, at(T1));
        assert_eq!(ready_of(&after).0, ConditionStatus::False);
        let unsupported = Checked {
            account: Some(known()),
            result: Err(Error::Unsupported(Unsupported::Vault)),
        };
        let after = status_after(&old, Some(&AcmeIssuer::default()), 2, &unsupported, at(T1));
        assert_eq!(ready_of(&after).1, "NotSupported");
    }
}
