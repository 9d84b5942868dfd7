//! Is the account of an ACME issuer up to date? Pure.

use reqwest::Url;

use crate::{
    acme::account::is_same_origin,
    api::{acme::AcmeIssuerStatus, condition, issuer::IssuerStatus, reason::issuer as reason},
};

/// Entry of the Secret that holds the account key, where the issuer names none.
pub const DEFAULT_KEY_ENTRY: &str = "tls.key";

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

/// The URL of the account in the status, if it is one for these settings: at the server, or found for
/// this generation, when the CA was asked where it has accounts.
pub fn url_of<'a>(status: &'a IssuerStatus, server: &Url, generation: i64) -> Option<&'a str> {
    let url = status.acme.as_ref()?.uri.as_deref()?;
    let is_its =
        is_same_origin(url, server) || !url.is_empty() && was_registered(status, generation);
    is_its.then_some(url)
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

    const SERVER: &str = "https://ca.example/dir";
    const T0: &str = "2026-01-01T00:00:00Z";

    fn server(text: &str) -> Url {
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

    #[test]
    fn an_account_elsewhere_counts_only_where_it_was_found_for_these_settings() {
        let registered = ("True", "ACMEAccountRegistered");
        let elsewhere = || account_status("https://accounts.example/1", "", "hash");
        let here = || known();
        let table = [
            (Some(here()), registered, 3, true),
            (Some(here()), registered, 2, true),
            (Some(here()), ("False", "ErrVerifyACMEAccount"), 3, true),
            (Some(elsewhere()), registered, 3, true),
            (Some(elsewhere()), registered, 2, false),
            (
                Some(elsewhere()),
                ("False", "ErrVerifyACMEAccount"),
                3,
                false,
            ),
            (Some(account_status("", "", "hash")), registered, 3, false),
            (None, registered, 3, false),
        ];
        for (at, (acme, ready, generation, want)) in table.into_iter().enumerate() {
            let status = status(acme, ready, generation);
            let found = url_of(&status, &server(SERVER), 3);
            assert_eq!(found.is_some(), want, "case {at}");
        }
    }
}
