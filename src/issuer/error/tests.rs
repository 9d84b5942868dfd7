//! Is each failure told in its words, and tried again where that can help?

use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::{acme::Action, cluster::ReconcileError};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn http(status: u16, retry_after: Option<http::RetryAfter>) -> acme::Error {
    acme::Error::Http {
        action: Action::NewAccount,
        url: "https://ca.example/new".into(),
        status,
        excerpt: String::new(),
        retry_after,
    }
}

fn problem(kind: &str, status: u16, retry_after: Option<http::RetryAfter>) -> acme::Error {
    let document = format!(
        r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "no", "status": {status}}}"#
    );
    acme::Error::Problem {
        action: Action::NewAccount,
        problem: Box::new(serde_json::from_str(&document).unwrap()),
        retry_after,
    }
}

#[test]
fn a_refusal_ends_it_and_the_rest_is_tried_again() {
    let in_a_minute = Some(http::RetryAfter::After(SignedDuration::from_secs(90)));
    let limited = |seconds| Class::RateLimited(Duration::from_secs(seconds));
    // (what the CA said, how to go on, whether the key has no account)
    let table = [
        (problem("invalidContact", 400, None), Class::Permanent, true),
        (problem("unauthorized", 403, None), Class::Permanent, true),
        (problem("malformed", 400, None), Class::Permanent, true),
        (problem("somethingNew", 418, None), Class::Permanent, true),
        (
            problem("serverInternal", 500, None),
            Class::Transient,
            false,
        ),
        (problem("rateLimited", 429, None), limited(60), false),
        (problem("rateLimited", 429, in_a_minute), limited(90), false),
        (http(404, None), Class::Misconfigured, false),
        (http(502, None), Class::Transient, false),
        (http(429, in_a_minute), limited(90), false),
    ];
    for (source, class, refutes) in table {
        let error = Error::acme(Doing::Register, source, now());
        assert_eq!(error.class(), class, "{error}");
        assert_eq!(error.refutes_account(), refutes, "{error}");
        assert_eq!(error.condition_reason(), "ErrRegisterACMEAccount");
    }
}

#[test]
fn messages_say_what_happened_and_what_to_do() {
    let in_a_minute = Some(http::RetryAfter::After(SignedDuration::from_secs(90)));
    let table = [
        (
            Error::acme(
                Doing::Update,
                problem("rateLimited", 429, in_a_minute),
                now(),
            ),
            "Failed to update ACME account: registering the ACME account: no (rateLimited); \
             next try at 2026-01-01T00:01:30Z",
        ),
        (
            Error::acme(Doing::Register, problem("invalidContact", 400, None), now()),
            "Failed to register ACME account: registering the ACME account: no \
             (invalidContact); tried again when the issuer or one of its Secrets changes",
        ),
        (
            Error::Profile {
                profile: "fast".into(),
                server: "https://ca".into(),
                offered: vec!["classic".into(), "shortlived".into()],
            },
            "profile \"fast\" is not offered by https://ca; use one of: classic, shortlived",
        ),
        (
            Error::Profile {
                profile: "fast".into(),
                server: "https://ca".into(),
                offered: vec![],
            },
            "profile \"fast\" is not offered by https://ca; it has no profiles: remove \
             spec.acme.profile",
        ),
        (
            Error::BindingMissing {
                name: "eab".into(),
                namespace: "web".into(),
            },
            "EAB Secret \"eab\" not found in namespace \"web\"",
        ),
        (
            Error::SolverEntryMissing {
                solver: 2,
                field: "dns01.rfc2136.tsigSecretSecretRef",
                name: "tsig".into(),
                namespace: "web".into(),
                entry: "key".into(),
            },
            "solvers[2].dns01.rfc2136.tsigSecretSecretRef: Secret \"tsig\" in namespace \"web\" \
             has no entry \"key\"",
        ),
    ];
    for (error, message) in table {
        assert_eq!(error.to_string(), message);
    }
}
